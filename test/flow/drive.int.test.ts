import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { chromium } from 'playwright-core'
import puppeteer from 'puppeteer-core'
import WebSocket from 'ws'
import { connectCdp } from '../kit/cdp.ts'
import { authorization, ensure, pageOf, type Runtime, remove } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'

describe('driving a runtime through the gateway', { concurrency: false }, () => {
  let stack: TestStack
  let alice: Runtime
  let bob: Runtime

  before(async () => {
    stack = await startStack()
    ;[alice, bob] = await Promise.all([ensure(stack, { userId: 'alice' }), ensure(stack, { userId: 'bob' })])
  })
  after(() => stack.close())

  const socketForm = (url: string) => url.replace(/^http/, 'ws')
  const hello = pageOf('<title>Hello</title><h1>from the runtime</h1>')

  for (const form of ['http', 'ws'] as const) {
    const address = (url: string) => (form === 'http' ? url : socketForm(url))

    it(`Playwright connects by the ${form} form, opens a page and reads it`, async () => {
      const browser = await chromium.connectOverCDP(address(alice.urls.cdp), { headers: authorization(stack) })
      try {
        const [context] = browser.contexts()
        const page = await context?.newPage()
        await page?.goto(hello)
        assert.equal(await page?.title(), 'Hello')
        assert.equal(await page?.locator('h1').textContent(), 'from the runtime')
        const image = await page?.screenshot()
        assert.deepEqual([...(image?.subarray(1, 4) ?? [])], [...Buffer.from('PNG')])
        await page?.close()
      } finally {
        await browser.close()
      }
    })

    it(`Puppeteer connects by the ${form} form, opens a page and reads it`, async () => {
      const where = form === 'http' ? { browserURL: alice.urls.cdp } : { browserWSEndpoint: socketForm(alice.urls.cdp) }
      const browser = await puppeteer.connect({ ...where, headers: authorization(stack), defaultViewport: null })
      try {
        const page = await browser.newPage()
        await page.goto(hello)
        assert.equal(await page.title(), 'Hello')
        assert.equal(await page.$eval('h1', heading => heading.textContent), 'from the runtime')
        await page.close()
      } finally {
        await browser.disconnect()
      }
    })
  }

  it('discovery leads through the gateway, and its socket takes a client that follows it', async () => {
    const version = await (await stack.call('GET', `/cdp/${alice.ownerHash}/json/version`)).json()
    const { webSocketDebuggerUrl } = version as { webSocketDebuggerUrl: string }
    assert(webSocketDebuggerUrl.startsWith(`${socketForm(stack.gatewayUrl)}/cdp/${alice.ownerHash}/devtools/browser/`))
    const list = (await (await stack.call('GET', `/cdp/${alice.ownerHash}/json/list`)).json()) as {
      webSocketDebuggerUrl: string
    }[]
    assert(list.length > 0)
    for (const target of list)
      assert(target.webSocketDebuggerUrl.startsWith(`${socketForm(stack.gatewayUrl)}/cdp/${alice.ownerHash}/`))
    const browser = await chromium.connectOverCDP(webSocketDebuggerUrl, { headers: authorization(stack) })
    await browser.close()
  })

  it('two owners have two browsers: neither sees the cookies or pages of the other', async () => {
    const [one, two] = await Promise.all(
      [alice, bob].map(({ urls }) => chromium.connectOverCDP(urls.cdp, { headers: authorization(stack) })),
    )
    try {
      assert(one && two)
      const [ours, theirs] = [one.contexts()[0], two.contexts()[0]]
      await ours?.addCookies([{ name: 'secret', value: 'of alice', url: 'https://site.example/' }])
      const page = await ours?.newPage()
      await page?.goto(hello)
      assert.deepEqual(
        (await theirs?.cookies())?.filter(({ name }) => name === 'secret'),
        [],
      )
      assert(!theirs?.pages().some(other => other.url() === hello))
      assert.notEqual(alice.ownerHash, bob.ownerHash)
      await page?.close()
    } finally {
      await Promise.all([one?.close(), two?.close()])
    }
  })

  it('runs actions by RPC and answers with their results', async () => {
    const answer = await stack.call('POST', `/rpc/${bob.ownerHash}/run`, {
      actions: [
        { type: 'goto', url: hello },
        { type: 'evaluate', expression: 'document.title' },
      ],
    })
    const text = await answer.text()
    assert.equal(answer.status, 200, text)
    assert(text.includes('Hello'), text)
  })

  it('an action that there is not is a 400 of the runtime, passed on', async () => {
    const answer = await stack.call('POST', `/rpc/${bob.ownerHash}/run`, { actions: [{ type: 'fly' }] })
    assert.equal(answer.status, 400)
    assert.match(String(answer.headers.get('content-security-policy')), /^sandbox/)
  })

  it('traffic of every kind wakes a runtime that was paused or stopped, and is held until it is there', async () => {
    const idle = await ensure(stack, { userId: 'idle' })
    const base = socketForm(stack.gatewayUrl)
    const firstBytes = async () => {
      const socket = new WebSocket(`${base}/view/${idle.ownerHash}/websockify`, { headers: authorization(stack) })
      const [data] = await once(socket, 'message', { signal: AbortSignal.timeout(60_000) })
      socket.terminate()
      return String(data).slice(0, 4)
    }
    const product = async () => {
      const cdp = await connectCdp(socketForm(idle.urls.cdp), authorization(stack))
      const { product } = await cdp.send('Browser.getVersion')
      cdp.close()
      return String(product).split('/')[0]
    }
    const discovered = async () => (await stack.call('GET', `/cdp/${idle.ownerHash}/json/version`)).status
    const health = async () => (await stack.call('GET', `/rpc/${idle.ownerHash}/health`)).status
    const generations: number[] = []
    for (const verb of ['pause', 'stop']) {
      assert.equal((await stack.call('POST', `/v1/runtimes/${idle.id}/${verb}`)).status, 200)
      const answers = await Promise.all([firstBytes(), product(), discovered(), health()])
      assert.deepEqual(answers, ['RFB ', 'Chrome', 200, 200], verb)
      const now = (await (await stack.call('GET', `/v1/runtimes/${idle.id}`)).json()) as Runtime
      assert.equal(now.state, 'running')
      generations.push(now.generation)
    }
    assert.deepEqual(generations, [1, 2], 'a pause was a start, or a start was made twice')
    await remove(stack, idle.id)
  })
})
