import assert from 'node:assert/strict'
import { test } from 'node:test'
import { timeHeader } from '@porthole/protocol'
import { pino } from 'pino'
import { createGatewayClock } from './gateway-clock.ts'

const hour = 3_600_000

/** A host whose clock is ahead of the gateway's, and what it has logged. */
const host = (aheadMs: number) => {
  const the = { time: 1_000_000_000_000, elapsed: 0, ahead: aheadMs }
  const said: string[] = []
  const log = pino({ base: null }, { write: line => void said.push(line) })
  const clock = createGatewayClock(log, { local: () => the.time + the.ahead, elapsed: () => the.elapsed })
  const pass = (ms: number) => {
    the.time += ms
    the.elapsed += ms
  }
  const ask = async ({ status = 200, header = String(the.time), tookMs = 0 } = {}) => {
    const send = clock.listening(async () => {
      pass(tookMs)
      return new Response(null, { status, headers: { [timeHeader]: header } })
    })
    return (await send('http://gateway')).status
  }
  return { the, said, clock, pass, ask }
}

test("a host's own clock counts until the gateway has told the time, and not any more from then on", async () => {
  for (const ahead of [hour, -hour]) {
    const { the, said, clock, pass, ask } = host(ahead)
    assert.equal(clock.now(), the.time + ahead)
    assert.equal(await ask({ status: 401 }), 401)
    assert.equal(clock.now(), the.time)
    pass(90_000)
    the.ahead = ahead * 2
    assert.equal(clock.now(), the.time)
    await ask()
    await ask()
    assert.equal(clock.now(), the.time)
    assert.equal(said.length, 1)
    assert.match(String(said), /"aheadMs":-?3600000.*set it/)
  }
})

test('what is no time, came late, or is more than a day away is not believed', async () => {
  const { the, said, clock, ask } = host(hour)
  for (const header of ['', 'soon', '-1', '1e99', '9'.repeat(40)]) await ask({ header })
  await ask({ tookMs: 20_000 })
  assert.equal(clock.now(), the.time + hour)
  assert.deepEqual(said, [])
  await ask({ header: String(the.time - 30 * hour) })
  assert.equal(clock.now(), the.time + hour)
  assert.match(String(said), /more than a day off/)
})

test('an answer without the time changes nothing', async () => {
  const { the, clock } = host(hour)
  await clock.listening(async () => new Response())('http://gateway')
  assert.equal(clock.now(), the.time + hour)
})
