import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createHealth, type HealthOptions } from './health.ts'

/** A runtime, unused for 7 s, whose DevTools answer so. */
const healthOf = async (t: TestContext, devTools: RequestListener, options: Partial<HealthOptions> = {}) => {
  const server = createServer(devTools).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  const { port } = server.address() as AddressInfo
  return createHealth({
    ui: true,
    viewUrl: () => undefined,
    browser: () => ({ current: () => ({ port }) }),
    display: () => ({ answers: async () => true }),
    lastInputAt: () => undefined,
    unusedMs: () => 7000,
    startSteps: () => ({ boot: 1 }),
    probeMs: 5000,
    ...options,
  })()
}

const version: RequestListener = (_, response) => response.end('{ "Browser": "Chrome/141.0.7390.54" }')
const nothing: RequestListener = () => {}

test('a runtime that is well tells its facts', async t => {
  assert.deepEqual(await healthOf(t, version), {
    status: 'ready',
    chromium: 'Chrome/141.0.7390.54',
    ui: true,
    lastInputAt: null,
    unusedMs: 7000,
    start: { boot: 1 },
  })
})

const ills: [what: string, code: string, devTools: RequestListener, options: Partial<HealthOptions>][] = [
  ['whose browser is not there yet', 'browser-down', version, { browser: () => undefined }],
  ['whose browser is being started again', 'browser-down', version, { browser: () => ({ current: () => undefined }) }],
  ['whose DevTools are not done in time', 'browser-down', nothing, { probeMs: 20 }],
  ['whose X server does not answer', 'display-down', version, { display: () => ({ answers: async () => false }) }],
]
for (const [what, problem, devTools, options] of ills)
  test(`a runtime ${what} tells as well how long ago it was used`, async t => {
    assert.deepEqual(await healthOf(t, devTools, options), { problem, unusedMs: 7000 })
  })
