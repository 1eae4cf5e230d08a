import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { httpProbe, type Target } from './health.ts'

const never = new AbortController().signal

/** Probes a container that answers so. */
const probed = async (answer: RequestListener, target: Partial<Target> = {}) => {
  const seen: IncomingHttpHeaders[] = []
  const server = createServer((request, response) => {
    seen.push(request.headers)
    answer(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    const health = await httpProbe()({ origin: `http://127.0.0.1:${port}`, path: '/health', ...target }, never)
    return { health, headers: seen[0] }
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

const json = (value: unknown): RequestListener => {
  return (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

test('only a container in its start is told that it may answer later', async () => {
  const started = await probed(json({}), { waits: true, key: 'k' })
  assert.deepEqual([started.headers?.prefer, started.headers?.['x-porthole-key']], ['wait=1', 'k'])
  const running = await probed(json({}))
  assert.deepEqual([running.headers?.prefer, running.headers?.['x-porthole-key']], [undefined, undefined])
})

test('what a container tells of its start is taken, if it makes sense', async () => {
  const steps = { boot: 40, browser: 700 }
  assert.deepEqual((await probed(json({ start: { ...steps, placement: 1 } }))).health, { ok: true, steps })
  for (const told of [{}, { start: { boot: '40' } }, { start: { boot: -1 } }, { start: 1 }, null, 'ready'])
    assert.deepEqual((await probed(json(told))).health, { ok: true })
})

test('how long a container says it is unused is taken, if it makes sense', async () => {
  assert.deepEqual((await probed(json({ unusedMs: 900_000, start: 1 }))).health, { ok: true, unusedMs: 900_000 })
  for (const unusedMs of [-1, '5', null, 1e300])
    assert.deepEqual((await probed(json({ unusedMs }))).health, { ok: true }, String(unusedMs))
})

test('a container that is not well says as well how long it is unused', async () => {
  const { health } = await probed((_, response) =>
    response.writeHead(503, { 'content-type': 'application/problem+json' }).end('{"status":503,"unusedMs":7000}'),
  )
  assert.deepEqual(health, { ok: false, why: 'status 503', unusedMs: 7000 })
})

test('an answer that is none of ours is as good, whatever is in it', async () => {
  const answers: RequestListener[] = [
    (_, response) => response.end('ok'),
    (_, response) => response.writeHead(204).end(),
    (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{'),
    (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(' '.repeat(1_000_000)),
  ]
  for (const answer of answers) assert.deepEqual((await probed(answer)).health, { ok: true })
})

test('a status that is not good is said', async () => {
  const { health } = await probed((_, response) => response.writeHead(503).end('{"start":{"boot":1}}'))
  assert.deepEqual(health, { ok: false, why: 'status 503' })
})
