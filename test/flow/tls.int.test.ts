import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import tls from 'node:tls'
import { chromium } from 'playwright-core'
import { authorization, ensure, pageOf, type Runtime, remove } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'

describe('an agent that serves TLS', { concurrency: false }, () => {
  const agentSettings: Record<string, string> = { PORTHOLE_TLS: 'on' }
  let stack: TestStack
  let alice: Runtime

  before(async () => {
    stack = await startStack({ agentSettings })
  })
  after(() => stack.close())

  /** The fingerprint of what the agent serves with. */
  const certificate = async () => {
    const { hostname: host, port } = new URL(stack.agent().url)
    const socket = tls.connect({ host, port: Number(port), rejectUnauthorized: false })
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(5000) })
    const served = socket.getPeerX509Certificate()?.fingerprint256
    socket.destroy()
    assert(served)
    return served
  }
  const titleOf = async () => {
    const browser = await chromium.connectOverCDP(alice.urls.cdp, { headers: authorization(stack) })
    try {
      const page = await (browser.contexts()[0] ?? (await browser.newContext())).newPage()
      await page.goto(pageOf('<title>over TLS</title>'))
      return await page.title()
    } finally {
      await browser.close()
    }
  }
  const run = () =>
    fetch(alice.urls.rpc, {
      method: 'POST',
      headers: { ...authorization(stack), 'content-type': 'application/json' },
      body: JSON.stringify({ actions: [{ type: 'evaluate', expression: '6 * 7' }] }),
    })

  it('takes commands, requests and sockets', async () => {
    assert.match(stack.agent().url, /^https:/)
    alice = await ensure(stack, { userId: 'alice' })
    assert.equal((await run()).status, 200)
    assert.equal(await titleOf(), 'over TLS')
  })

  it('keeps its runtimes when it joins anew with another certificate', async () => {
    const before = await certificate()
    await stack.restartAgent()
    assert.equal(await certificate(), before)
    // It is for an address, and now it is to be for a name.
    agentSettings.PORTHOLE_AGENT_URL = `https://localhost:${new URL(stack.agent().url).port}`
    await stack.restartAgent()
    assert.notEqual(await certificate(), before)
    assert.equal((await ensure(stack, { userId: 'alice' })).id, alice.id)
    assert.equal((await run()).status, 200)
    assert.equal(await titleOf(), 'over TLS')
    await remove(stack, alice.id)
  })
})
