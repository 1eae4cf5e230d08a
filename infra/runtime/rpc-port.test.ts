import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import type { Health } from './health.ts'
import { createRpcPort } from './rpc-port.ts'
import { createStartup } from './startup.ts'
import { createUse } from './use.ts'

/** An RPC port whose browser comes up when `startup` is finished. */
const openPort = async () => {
  const startup = createStartup()
  let health: Health = { problem: 'browser-down' }
  let asked = 0
  const server = createRpcPort({
    guard: () => undefined,
    browser: () => undefined,
    health: async () => {
      asked += 1
      return health
    },
    startup,
    use: createUse(),
    modelConfigured: false,
    log: () => {},
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    ask: (headers: Record<string, string>, signal: AbortSignal = AbortSignal.timeout(10_000)) =>
      fetch(`http://127.0.0.1:${port}/health`, { headers, signal }),
    asked: () => asked,
    arrived: () => once(server, 'request'),
    finish: () => {
      health = { status: 'ready' }
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
