import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { pino } from 'pino'
import { Problem } from '../problem.ts'
import { createOpenSockets, type OpenSocket } from './open-sockets.ts'

const second = 1000
const limits = { open: 6, openPerTenant: 4, openPerOwner: 2, socketAgeMs: 3600 * second }

/** Sockets of runtimes that all run in generation 1, unless the test moves them. */
const bench = (t: TestContext, more: Partial<typeof limits> = {}) => {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  let at = 1_700_000_000_000
  let isAway = false
  /** What looks wait for before they answer with what they saw when they were issued. */
  let hold: Promise<void> | undefined
  let looks = 0
  const moved = new Map<string, { state: 'running' | 'stopping' | 'paused'; generation: number }>()
  const unwelcome = new Set<string>()
  const sockets = createOpenSockets({
    statesOf: async ids => {
      looks += 1
      if (isAway) throw new Error('the database is away')
      const seen = ids.map(id => ({ id, ...(moved.get(id) ?? { state: 'running' as const, generation: 1 }) }))
      await hold
      return seen
    },
    isWelcome: ({ tokenId, expiresAt }) => !unwelcome.has(tokenId ?? '') && expiresAt * 1000 > at,
    limits: { ...limits, ...more },
    log: pino({ level: 'silent' }),
    now: () => at,
  })
  t.after(() => sockets.close())
  const enter = (changes: Partial<OpenSocket> = {}, generation: number | null = 1) => {
    let isOpen = true
    const place = sockets.enter({
      ...{
        tenant: 'a',
        subject: 's',
        tokenId: 'j',
        issuerId: undefined,
        access: 'control',
        runtimeId: 'rt_1',
        door: 'cdp',
        kind: 'socket',
      },
      expiresAt: at / 1000 + 10 * 3600,
      close: () => {
        isOpen = false
        place.leave()
      },
      ...changes,
    })
    if (generation !== null) place.leadsTo(generation)
    return { ...place, isOpen: () => isOpen }
  }
  const pass = async (seconds: number) => {
    at += seconds * second
    t.mock.timers.tick(second)
    // Looks at runtimes are asynchronous.
    await new Promise(resolve => setImmediate(resolve))
  }
  const goAway = () => {
    isAway = true
  }
  const holdLooks = () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    hold = promise
    return () => {
      hold = undefined
      resolve()
    }
  }
  return { sockets, enter, pass, moved, unwelcome, goAway, holdLooks, looks: () => looks }
}

const refused = (code: string, status: number, what: RegExp) => (error: unknown) => {
  assert(error instanceof Problem)
  assert.deepEqual([error.code, error.status], [code, status])
  assert.match(error.extra.detail ?? '', what)
  assert((error.extra.retryAfterSeconds ?? 0) > 0)
  return true
}

test('an owner with as many as it may have is a 429 that says what to do, and has room when one has ended', t => {
  const { sockets, enter } = bench(t)
  const [first] = [enter(), enter()]
  assert.throws(() => enter(), refused('too-many-open', 429, /owner has 2 .* close some/))
  enter({ runtimeId: 'rt_2' })
  first.leave()
  // Told twice, as an end and a cut may be.
  first.leave()
  enter()
  assert.equal(sockets.count(), 3)
})

test('a tenant with as many as it may have is a 429, and no other tenant notices', t => {
  const { enter } = bench(t)
  for (const runtimeId of ['rt_1', 'rt_1', 'rt_2', 'rt_2']) enter({ runtimeId })
  assert.throws(() => enter({ runtimeId: 'rt_3' }), refused('too-many-open', 429, /tenant has 4 .* close some/))
  enter({ tenant: 'b', runtimeId: 'rt_4' })
})

test('a tenant has room when one of its own has ended', t => {
  const { enter } = bench(t)
  const places = ['rt_1', 'rt_1', 'rt_2', 'rt_2'].map(runtimeId => enter({ runtimeId }))
  places[0]?.leave()
  enter({ runtimeId: 'rt_3' })
  assert.throws(() => enter({ runtimeId: 'rt_3' }))
})

test('a gateway with as many as it takes is a 503', t => {
  const { enter } = bench(t)
  for (const runtimeId of ['rt_1', 'rt_1', 'rt_2', 'rt_2']) enter({ runtimeId })
  for (const runtimeId of ['rt_3', 'rt_3']) enter({ tenant: 'b', runtimeId })
  assert.throws(() => enter({ tenant: 'c', runtimeId: 'rt_4' }), refused('gateway-full', 503, /another gateway/))
})

test('one that was refused counts nowhere', t => {
  const { sockets, enter } = bench(t)
  enter()
  enter()
  for (let n = 0; n < 10; n++) assert.throws(() => enter())
  assert.equal(sockets.count(), 2)
  enter({ runtimeId: 'rt_2' })
  enter({ runtimeId: 'rt_2' })
})

test('all that is open to a runtime is listed and counted, and nothing of another', t => {
  const { sockets, enter } = bench(t)
  const view = enter({ door: 'view', access: 'view', subject: 'guest' })
  enter({ door: 'rpc', kind: 'request' })
  enter({ runtimeId: 'rt_2' })
  const [first, second, ...more] = sockets.list('rt_1')
  assert.deepEqual(first, {
    ...{ subject: 'guest', access: 'view', door: 'view', kind: 'socket', openedAt: 1_700_000_000_000 },
  })
  assert.deepEqual([second?.door, second?.kind, more.length], ['rpc', 'request', 0])
  view.leave()
  assert.equal(sockets.list('rt_1').length, 1)
  assert.deepEqual(sockets.list('rt_9'), [])
})

for (const [what, move] of [
  ['stops', { state: 'stopping', generation: 1 }],
  ['is started anew', { state: 'running', generation: 2 }],
] as const)
  test(`a runtime that ${what} ends what is open to it at a word, and nothing else`, async t => {
    const { sockets, enter, moved, pass } = bench(t)
    const [ends, stays] = [enter(), enter({ runtimeId: 'rt_2' })]
    moved.set('rt_1', move)
    sockets.checkRuntime('rt_1')
    await pass(0)
    assert.deepEqual([ends.isOpen(), stays.isOpen(), sockets.count()], [false, true, 1])
  })

test('a move that nobody told of is seen a second later', async t => {
  const { enter, moved, pass } = bench(t)
  const socket = enter()
  moved.set('rt_1', { state: 'stopping', generation: 1 })
  await pass(1)
  assert.equal(socket.isOpen(), false)
})

test('what waits for its runtime to start does not end with the generation before', async t => {
  const { enter, moved, pass } = bench(t)
  moved.set('rt_1', { state: 'stopping', generation: 7 })
  const waiting = enter({}, null)
  await pass(1)
  assert.equal(waiting.isOpen(), true)
  waiting.leadsTo(8)
  moved.set('rt_1', { state: 'running', generation: 8 })
  await pass(1)
  assert.equal(waiting.isOpen(), true)
})

test('a revoked token ends what was opened with it, what waits too', t => {
  const { sockets, enter, unwelcome } = bench(t)
  const [ends, waits] = [enter(), enter({}, null)]
  const stays = enter({ runtimeId: 'rt_2', tokenId: 'other' })
  unwelcome.add('j')
  sockets.checkRights()
  assert.deepEqual([ends.isOpen(), waits.isOpen(), stays.isOpen()], [false, false, true])
})

test('a token that expires ends what was opened with it within a second', async t => {
  const { enter, pass } = bench(t)
  const socket = enter({ expiresAt: 1_700_000_100 })
  await pass(99)
  assert.equal(socket.isOpen(), true)
  await pass(1)
  assert.equal(socket.isOpen(), false)
})

test('what is as old as it may become ends', async t => {
  const { enter, pass } = bench(t)
  const socket = enter()
  await pass(3599)
  assert.equal(socket.isOpen(), true)
  await pass(1)
  assert.equal(socket.isOpen(), false)
})

test('without an age to end at, what is open stays open', async t => {
  const { enter, pass } = bench(t, { socketAgeMs: 0 })
  const socket = enter({ expiresAt: Number.MAX_SAFE_INTEGER })
  await pass(365 * 24 * 3600)
  assert.equal(socket.isOpen(), true)
})

test('a database that does not answer ends nothing', async t => {
  const { enter, pass, goAway } = bench(t)
  const socket = enter()
  goAway()
  await pass(1)
  assert.equal(socket.isOpen(), true)
})

test('a late look ends nothing that has been woken since, and what it has seen asleep', async t => {
  const { enter, moved, pass, holdLooks } = bench(t)
  moved.set('rt_1', { state: 'paused', generation: 1 })
  const [wakes, sleeps] = [enter({}, null), enter()]
  const release = holdLooks()
  await pass(1)
  moved.set('rt_1', { state: 'running', generation: 1 })
  wakes.leadsTo(1)
  release()
  await pass(0)
  assert.deepEqual([wakes.isOpen(), sleeps.isOpen()], [true, false])
})

test('a late look ends nothing that leads to a later generation by now', async t => {
  const { enter, moved, pass, holdLooks } = bench(t)
  const socket = enter()
  moved.set('rt_1', { state: 'stopping', generation: 1 })
  const release = holdLooks()
  await pass(1)
  moved.set('rt_1', { state: 'running', generation: 2 })
  socket.leadsTo(2)
  release()
  await pass(0)
  assert.equal(socket.isOpen(), true)
})

test('looks of a slow database do not pile up, and what was asked for meanwhile is looked at after', async t => {
  const { sockets, enter, moved, pass, holdLooks, looks } = bench(t)
  const socket = enter()
  const release = holdLooks()
  for (let n = 0; n < 3; n++) await pass(1)
  moved.set('rt_1', { state: 'stopping', generation: 1 })
  for (let n = 0; n < 5; n++) sockets.checkRuntime('rt_1')
  assert.equal(looks(), 1)
  release()
  await pass(0)
  assert.deepEqual([looks() <= 3, socket.isOpen()], [true, false])
})

test('a look that never ends is given up, and the next one made', async t => {
  const { enter, moved, pass, holdLooks } = bench(t)
  const socket = enter()
  holdLooks()
  await pass(1)
  // The next look is not held.
  holdLooks()()
  moved.set('rt_1', { state: 'stopping', generation: 1 })
  for (let n = 0; n < 6; n++) await pass(1)
  assert.equal(socket.isOpen(), false)
})
