import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { pino } from 'pino'
import { followClock } from './clock.ts'

/** A database and a machine, each with a time of its own. */
const world = async (t: TestContext, aheadMs: number) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const said: string[] = []
  const the = { time: 1_000_000_000_000, elapsed: 0, ahead: aheadMs, tookMs: 0, isAway: false }
  const pass = (ms: number) => {
    the.time += ms
    the.elapsed += ms
  }
  const read = async () => {
    if (the.isAway) throw new Error('away')
    pass(the.tookMs / 2)
    const { time } = the
    pass(the.tookMs / 2)
    return time
  }
  const log = pino({ base: null }, { write: line => void said.push(line) })
  const clock = await followClock(read, log, { local: () => the.time + the.ahead, elapsed: () => the.elapsed })
  t.after(() => clock.close())
  const look = async () => {
    t.mock.timers.tick(5000)
    for (let n = 0; n < 10; n += 1) await Promise.resolve()
    await new Promise(resolve => setImmediate(resolve))
  }
  return { the, pass, clock, said, look }
}

test("an hour's error of the machine is nothing to it, also when it comes later, and is told once", async t => {
  const { the, pass, clock, said, look } = await world(t, 3_600_000)
  assert.equal(clock.now(), the.time)
  pass(1234)
  assert.equal(clock.now(), the.time)
  the.ahead = -3_600_000
  assert.equal(clock.now(), the.time)
  await look()
  assert.equal(clock.now(), the.time)
  assert.equal(said.length, 1)
  assert.match(String(said), /"aheadMs":3600000.*set it/)
})

test('it goes on while the database is away, and follows when that sets its clock', async t => {
  const { the, pass, clock, look } = await world(t, 0)
  the.isAway = true
  pass(60_000)
  await look()
  assert.equal(clock.now(), the.time)
  the.isAway = false
  the.time += 7000
  await look()
  assert.equal(clock.now(), the.time)
})

test('an answer that took long is not believed', async t => {
  const { the, clock, look } = await world(t, 0)
  the.tookMs = 1800
  the.time += 7000
  await look()
  assert.equal(clock.now(), the.time - 7000)
  the.tookMs = 100
  await look()
  assert.equal(clock.now(), the.time)
})
