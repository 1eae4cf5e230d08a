import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Heartbeat, heartbeat, heartbeatAudience, type RuntimeFacts } from '@porthole/protocol'
import { generateKeyPair, jwtVerify } from 'jose'
import { EngineUnavailable } from './engine/errors.ts'
import { fakeEngine } from './engine/fake.ts'
import { createHeartbeats } from './heartbeat.ts'
import { createInventory } from './inventory.ts'
import { hostId, image, ownerHash, runtime, silent } from './testing/orders.ts'

const facts: RuntimeFacts = { id: runtime, generation: 1, ownerHash, state: 'running' }
const config = { slots: 7, gpus: 0, labels: {}, memoryReserveBytes: 2 ** 30 }
const accepted = (nextMs: number) => Response.json({ nextMs })

const inventoryOf = (isDown: () => boolean, now = () => 0) =>
  createInventory({
    engine: fakeEngine({ images: [image], fault: call => (isDown() ? new EngineUnavailable(call) : undefined) }),
    list: async () => {
      if (isDown()) throw new EngineUnavailable('list')
      return [facts]
    },
    config,
    free: async () => 5 * 2 ** 30,
    log: silent,
    now,
  })

test('a host tells its capacity without the reserve, its images and every runtime', async () => {
  const told = heartbeat.parse(await inventoryOf(() => false).take())
  assert.deepEqual(told.capacity, { memoryBytes: 7 * 2 ** 30, cpuMillis: 2000, slots: 7, gpus: 0 })
  assert.deepEqual(told.images, [image])
  assert.equal(told.diskFreeBytes, 5 * 2 ** 30)
  assert.deepEqual(told.runtimes, [facts])
  assert.equal(told.engineVersion, 'fake')
})

test('an engine that can not be read is told as such, never as an empty host', async () => {
  let down = true
  const inventory = inventoryOf(() => down)
  const first = heartbeat.parse(await inventory.take())
  assert.equal(first.runtimes, null)
  assert.equal(first.engineVersion, 'unknown')
  down = false
  assert.deepEqual((await inventory.take()).runtimes, [facts])
  down = true
  const last = heartbeat.parse(await inventory.take())
  assert.equal(last.runtimes, null)
  assert.equal(last.capacity.memoryBytes, 7 * 2 ** 30)
})

test('the containers are listed last: what started while a slow engine told of its images is among them', async () => {
  const { promise, resolve } = Promise.withResolvers<string[]>()
  let running: RuntimeFacts[] = []
  const inventory = createInventory({
    engine: { ...fakeEngine({ images: [image] }), images: () => promise },
    list: async () => running,
    config,
    free: async () => 1,
    log: silent,
  })
  const told = inventory.take()
  await new Promise(setImmediate)
  running = [facts]
  resolve([image])
  assert.deepEqual((await told).runtimes, [facts])
})

test("heartbeats carry a token of the host's own key and follow the gateway's pace", async t => {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' })
  const stop = new AbortController()
  const beats: number[] = []
  const send: typeof fetch = async (url, init) => {
    beats.push(performance.now())
    assert.equal(url, `http://gateway/v1/hosts/${hostId}/heartbeat`)
    const token = new Headers(init?.headers).get('authorization')?.replace('Bearer ', '') ?? ''
    await jwtVerify(token, publicKey, { issuer: hostId, audience: heartbeatAudience, maxTokenAge: 60 })
    heartbeat.parse(JSON.parse(String(init?.body)))
    if (beats.length === 3) stop.abort()
    return accepted(300)
  }
  const inventory = inventoryOf(() => false)
  const deps = {
    gatewayUrl: 'http://gateway',
    hostId,
    privateKey,
    inventory,
    log: silent,
    fetch: send,
    random: () => 0.5,
  }
  await createHeartbeats(deps).run(AbortSignal.any([stop.signal, t.signal]))
  const gap = (beats[2] ?? 0) - (beats[1] ?? 0)
  assert.ok(gap > 280 && gap < 1500, `${gap} ms`)
})

test('a failing gateway is logged once, tried again, and a nudge brings the next one forward', async t => {
  const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' })
  const stop = new AbortController()
  const lines: string[] = []
  const answers = [
    () => Promise.reject(new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') })),
    () => Promise.reject(new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') })),
    async () => new Response(null, { status: 404 }),
    async () => accepted(60_000),
    async () => {
      stop.abort()
      return accepted(1)
    },
  ]
  const log = silent.child({})
  log.warn = (line: object | string) =>
    lines.push(typeof line === 'object' && 'failure' in line ? String(line.failure) : '')
  log.info = () => lines.push('well again')
  const heartbeats = createHeartbeats({
    gatewayUrl: 'http://gateway',
    hostId,
    privateKey,
    inventory: inventoryOf(() => false),
    log,
    fetch: async () => {
      // Without it the test would last as long as the pauses.
      setImmediate(heartbeats.nudge)
      return (answers.shift() ?? assert.fail('one too many'))()
    },
  })
  await heartbeats.run(AbortSignal.any([stop.signal, t.signal]))
  assert.equal(lines.length, 3)
  assert.equal(lines[0], 'ECONNREFUSED')
  assert.match(lines[1] ?? '', /does not know this host/)
  assert.equal(lines[2], 'well again')
})

test('runtimes are told in full when they have changed, and by their revision when not', async () => {
  const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' })
  const stop = new AbortController()
  const bodies: Heartbeat[] = []
  const answers: unknown[] = []
  let list = [facts]
  const heartbeats = createHeartbeats({
    gatewayUrl: 'http://gateway',
    hostId,
    privateKey,
    inventory: createInventory({
      engine: fakeEngine({ images: [image] }),
      list: async () => list,
      config,
      log: silent,
    }),
    onAnswer: async ({ remove, unknown }) => void answers.push({ remove, unknown }),
    log: silent,
    fetch: async (_url, init) => {
      bodies.push(heartbeat.parse(JSON.parse(String(init?.body))))
      if (bodies.length === 2) list = [{ ...facts, generation: 2 }]
      // The one with the change is not accepted: it has to come in full again.
      if (bodies.length === 3) return new Response(null, { status: 503 })
      if (bodies.length === 5) stop.abort()
      setImmediate(heartbeats.nudge)
      return Response.json({ nextMs: 1, remove: [{ id: runtime, generation: 1 }] })
    },
  })
  await heartbeats.run(stop.signal)
  assert.deepEqual(
    bodies.map(({ runtimes }) => runtimes?.[0]?.generation),
    [1, undefined, 2, 2, undefined],
  )
  assert.equal(bodies[1]?.revision, bodies[0]?.revision)
  assert.deepEqual(answers, Array(2).fill({ remove: [{ id: runtime, generation: 1 }], unknown: undefined }))
})

test('their tokens are dated by the clock of the gateway', async t => {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' })
  const stop = new AbortController()
  const now = Date.now() - 3_600_000
  let token = ''
  await createHeartbeats({
    gatewayUrl: 'http://gateway',
    hostId,
    privateKey,
    inventory: inventoryOf(() => false),
    log: silent,
    now: () => now,
    fetch: async (_url, init) => {
      token = new Headers(init?.headers).get('authorization')?.replace('Bearer ', '') ?? ''
      stop.abort()
      return accepted(1)
    },
  }).run(AbortSignal.any([stop.signal, t.signal]))
  await jwtVerify(token, publicKey, { maxTokenAge: 60, currentDate: new Date(now) })
  await assert.rejects(jwtVerify(token, publicKey), { code: 'ERR_JWT_EXPIRED' })
})

test('a token is used again for half of its life, and not after a refusal', async () => {
  const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' })
  const stop = new AbortController()
  let now = 1_700_000_000_000
  const tokens: (string | null)[] = []
  const heartbeats = createHeartbeats({
    gatewayUrl: 'http://gateway',
    hostId,
    privateKey,
    inventory: inventoryOf(() => false),
    log: silent,
    now: () => now,
    fetch: async (_url, init) => {
      tokens.push(new Headers(init?.headers).get('authorization'))
      // 0, 29, 30, then a refusal, then a clock that was set back.
      now += tokens.length === 1 ? 29_000 : tokens.length === 4 ? -5000 : 1000
      setImmediate(heartbeats.nudge)
      if (tokens.length === 3) return new Response(null, { status: 401 })
      if (tokens.length === 5) stop.abort()
      return accepted(1)
    },
  })
  await heartbeats.run(stop.signal)
  const [first, second, third, fourth, fifth] = tokens
  assert.equal(second, first)
  assert.notEqual(third, second)
  assert.notEqual(fourth, third)
  assert.notEqual(fifth, fourth)
})
