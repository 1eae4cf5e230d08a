import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, createConnection, type Told } from './connection.js'
import type { Phase } from './state.js'

/** A connection whose sockets, gateway and clock are in the test's hands. */
function stage() {
  const sockets: { told: Told; closed: boolean; nudges: number; heardAt: number }[] = []
  const timers = new Map<number, { at: number; then: () => void }>()
  const phases: Phase[] = []
  const whys: (string | null | undefined)[] = []
  let starts = 0
  const world = {
    now: 0,
    answer: { status: 200 } as Answer,
    start: { status: 204 } as Answer,
    visible: true,
    echo: false,
  }
  let nextTimer = 0
  const connection = createConnection({
    open(told) {
      const socket = { told, closed: false, nudges: 0, heardAt: world.now }
      sockets.push(socket)
      return {
        close: () => {
          socket.closed = true
        },
        nudge: () => {
          socket.nudges += 1
          if (world.echo) socket.heardAt = world.now
        },
        heardAt: () => socket.heardAt,
      }
    },
    probe: async () => world.answer,
    restart: async () => {
      starts += 1
      return world.start
    },
    visible: () => world.visible,
    show: (phase, why) => {
      whys.push(why)
      if (phases.at(-1) !== phase) phases.push(phase)
    },
    clock: {
      now: () => world.now,
      set: (then, ms) => {
        nextTimer += 1
        timers.set(nextTimer, { at: world.now + ms, then })
        return nextTimer
      },
      clear: timer => void timers.delete(Number(timer)),
    },
  })
  /** Lets promises settle, then time pass, timer by timer. */
  async function pass(ms: number) {
    const end = world.now + ms
    for (;;) {
      await new Promise(setImmediate)
      const due = [...timers].filter(([, t]) => t.at <= end).sort(([, a], [, b]) => a.at - b.at)[0]
      if (due === undefined) break
      timers.delete(due[0])
      world.now = Math.max(world.now, due[1].at)
      due[1].then()
    }
    world.now = end
  }
  const last = () => {
    const socket = sockets.at(-1)
    assert.ok(socket)
    return socket
  }
  return { connection, sockets, phases, whys, starts: () => starts, world, pass, last }
}

test('a lost connection is opened again within a quarter of a second', async () => {
  const { connection, sockets, phases, pass, last } = stage()
  connection.start()
  last().told.connected()
  await pass(6000)
  last().told.closed()
  await pass(250)
  assert.equal(sockets.length, 2)
  last().told.connected()
  assert.deepEqual(phases, ['connecting', 'connected', 'reconnecting', 'connected'])
})

test('while nothing answers, attempts go on for ever and never more than five seconds apart', async () => {
  const { connection, sockets, world, pass, last } = stage()
  world.answer = { status: 0 }
  connection.start()
  for (let i = 0; i < 50; i += 1) {
    last().told.closed()
    await pass(5000)
    assert.equal(sockets.length, i + 2)
  }
})

test('an attempt that hangs is given up after a minute', async () => {
  const { connection, sockets, pass } = stage()
  connection.start()
  await pass(59_000)
  assert.equal(sockets[0]?.closed, false)
  await pass(2000)
  assert.equal(sockets[0]?.closed, true)
  assert.equal(sockets.length, 2)
})

test('a hidden page waits until it is looked at again', async () => {
  const { connection, sockets, world, pass, last } = stage()
  connection.start()
  last().told.connected()
  world.visible = false
  last().told.closed()
  await pass(600_000)
  assert.equal(sockets.length, 1)
  world.visible = true
  connection.wake()
  assert.equal(sockets.length, 2)
})

test('an expired link ends the attempts, and looking again after signing in elsewhere resumes them', async () => {
  const { connection, sockets, world, phases, pass, last } = stage()
  connection.start()
  world.answer = { status: 401 }
  last().told.closed()
  await pass(60_000)
  assert.equal(sockets.length, 1)
  assert.equal(phases.at(-1), 'expired')
  world.answer = { status: 200 }
  connection.wake()
  await pass(250)
  assert.equal(sockets.length, 2)
})

test('a stopped browser is not woken by its view, until somebody asks or it runs again', async () => {
  const { connection, sockets, world, phases, pass, last } = stage()
  connection.start()
  last().told.connected()
  world.answer = { status: 200, state: 'stopped' }
  last().told.closed()
  await pass(60_000)
  assert.equal(phases.at(-1), 'stopped')
  world.answer = { status: 0 }
  await pass(60_000)
  assert.equal(sockets.length, 1, 'a network fault is not the word of the gateway')
  world.answer = { status: 200, state: 'running' }
  await pass(5000)
  assert.equal(sockets.length, 2)
  world.answer = { status: 200, state: 'stopped' }
  last().told.closed()
  await pass(0)
  connection.resume()
  assert.equal(sockets.length, 3)
})

test('a host that is away is waited for', async () => {
  const { connection, sockets, world, phases, pass, last } = stage()
  connection.start()
  world.answer = { status: 503 }
  last().told.closed()
  await pass(900)
  assert.equal(sockets.length, 1)
  assert.equal(phases.at(-1), 'waiting')
  await pass(200)
  assert.equal(sockets.length, 2)
})

test('a connection that died in silence is found and replaced', async () => {
  const { connection, sockets, pass, last } = stage()
  connection.start()
  last().told.connected()
  await pass(12_500)
  assert.equal(sockets[0]?.nudges, 1)
  await pass(7_500)
  assert.equal(sockets[0]?.closed, true)
  assert.equal(sockets.length, 2)
})

test('a still screen that answers when asked stays connected', async () => {
  const { connection, sockets, world, pass, last } = stage()
  world.echo = true
  connection.start()
  last().told.connected()
  await pass(100_000)
  assert.equal(sockets.length, 1)
  assert.ok(last().nudges >= 8)
})

test('back on the network, an attempt begun before is not waited for', async () => {
  const { connection, sockets } = stage()
  connection.start()
  connection.wake()
  assert.equal(sockets.length, 1)
  connection.wake({ networkChanged: true })
  assert.equal(sockets.length, 2)
  assert.equal(sockets[0]?.closed, true)
  sockets[0]?.told.closed()
  assert.equal(sockets.length, 2, 'the old one is no longer listened to')
})

test('a browser that failed is not started by its view, until somebody asks', async () => {
  const { connection, sockets, world, phases, whys, starts, pass, last } = stage()
  connection.start()
  world.answer = { status: 200, state: 'failed', why: 'start-timeout' }
  last().told.closed()
  await pass(60_000)
  assert.deepEqual([sockets.length, starts(), phases.at(-1), whys.at(-1)], [1, 0, 'failed', 'start-timeout'])
  world.start = { status: 503, why: 'no-capacity' }
  connection.resume()
  await pass(20_000)
  assert.deepEqual([sockets.length, starts(), phases.at(-1), whys.at(-1)], [1, 1, 'failed', 'no-capacity'])
  world.start = { status: 204 }
  connection.resume()
  await pass(0)
  assert.deepEqual([sockets.length, starts(), phases.at(-1)], [2, 2, 'connecting'])
})

test('a browser that was lost is connected to when somebody has started it elsewhere', async () => {
  const { connection, sockets, world, phases, pass, last } = stage()
  connection.start()
  last().told.connected()
  world.answer = { status: 200, state: 'lost' }
  last().told.closed()
  await pass(20_000)
  assert.equal(phases.at(-1), 'lost')
  world.answer = { status: 200, state: 'running' }
  await pass(5000)
  assert.equal(sockets.length, 2)
})

test('a host that is away is waited for, though the gateway answers', async () => {
  const { connection, world, phases, pass, last } = stage()
  connection.start()
  world.answer = { status: 200, state: 'away' }
  last().told.closed()
  await pass(900)
  assert.equal(phases.at(-1), 'waiting')
})
