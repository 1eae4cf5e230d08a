import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import { parseConfig } from './config.ts'
import type { Health } from './health.ts'
import { createSettings } from './personal.ts'
import { createRpcPort } from './rpc-port.ts'
import { createStartup } from './startup.ts'
import { createUse } from './use.ts'

/** An RPC port whose browser comes up when `startup` is finished. */
const openPort = async ({ takesPersonal = false } = {}) => {
  const startup = createStartup()
  let health: Health = { problem: 'browser-down', unusedMs: 7000 }
  let asked = 0
  const logged: string[] = []
  const settings = createSettings(parseConfig({}))
  const server = createRpcPort({
    guard: () => undefined,
    browser: () => undefined,
    health: async () => {
      asked += 1
      return health
    },
    startup,
    use: createUse(),
    settings,
    takesPersonal,
    log: line => void logged.push(line),
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    ask: (headers: Record<string, string>, signal: AbortSignal = AbortSignal.timeout(10_000)) =>
      fetch(`http://127.0.0.1:${port}/health`, { headers, signal }),
    give: async (body: string, method = 'POST') => {
      const answer = await fetch(`http://127.0.0.1:${port}/personal`, {
        ...{ method, signal: AbortSignal.timeout(10_000) },
        ...(method === 'POST' ? { body } : {}),
      })
      const text = await answer.text()
      return { status: answer.status, problem: text === '' ? undefined : JSON.parse(text) }
    },
    settings,
    logged,
    asked: () => asked,
    arrived: () => once(server, 'request'),
    finish: () => {
      health = { status: 'ready', unusedMs: 0 }
      startup.finish()
    },
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

test('who would rather wait is answered at the end of the start, others at once', async () => {
  const port = await openPort()
  try {
    assert.equal((await port.ask({})).status, 503)
    assert.equal((await port.ask({ prefer: 'respond-async' })).status, 503)
    const arrived = port.arrived()
    const held = port.ask({ prefer: 'wait=10' })
    await arrived
    assert.equal(port.asked(), 2)
    port.finish()
    assert.equal((await held).status, 200)
    assert.equal((await port.ask({ prefer: 'wait=10' })).status, 200)
  } finally {
    port.close()
  }
})

test('a runtime that is not well says what is wrong, and how long ago it was used', async () => {
  const port = await openPort()
  try {
    const answer = await port.ask({})
    assert.equal(answer.headers.get('content-type'), 'application/problem+json')
    assert.deepEqual(await answer.json(), {
      type: 'about:blank',
      title: 'Chromium does not answer',
      status: 503,
      code: 'browser-down',
      unusedMs: 7000,
    })
  } finally {
    port.close()
  }
})

test('settings of an owner are taken once: the same again is fine, others are a conflict', async () => {
  const port = await openPort({ takesPersonal: true })
  try {
    const mine = JSON.stringify({ env: { OPENAI_API_KEY: 'hush', MODEL_DEFAULT: 'm' }, viewUrl: 'https://p/view' })
    assert.deepEqual(await port.give(mine), { status: 204, problem: undefined })
    assert.deepEqual(
      [port.settings.current().viewUrl, port.settings.current().childEnv.MODEL_DEFAULT],
      ['https://p/view', 'm'],
    )
    assert.equal((await port.give(mine)).status, 204)
    const refused = await port.give(JSON.stringify({ env: { OPENAI_API_KEY: 'other' } }))
    assert.deepEqual([refused.status, refused.problem.code], [409, 'already-personal'])
    assert.equal(port.settings.current().childEnv.MODEL_DEFAULT, 'm')
    assert.equal((await port.give('', 'GET')).problem.code, 'method-not-allowed')
    const bad = await port.give(JSON.stringify({ env: { 'no name': 'hush' } }))
    assert.deepEqual([bad.status, bad.problem.errors[0].pointer], [400, '/env/no name'])
    const large = await port.give(JSON.stringify({ env: { MODEL_DEFAULT: 'x'.repeat(256 * 1024) } }))
    assert.equal(large.status, 413)
    assert.equal((await port.give(JSON.stringify({ env: { MODEL_DEFAULT: 'x'.repeat(255 * 1024) } }))).status, 409)
    assert.ok(!JSON.stringify([bad, refused, port.logged]).includes('hush'))
  } finally {
    port.close()
  }
})

test('where everybody is let in nobody gives settings', async () => {
  const port = await openPort()
  try {
    assert.equal((await port.give(JSON.stringify({ env: {} }))).status, 404)
  } finally {
    port.close()
  }
})
