import assert from 'node:assert/strict'
import test from 'node:test'
import { createStartup, preferredWaitMs } from './startup.ts'

const never = new AbortController().signal

test('steps are as long as the time since the one before', () => {
  let now = 40
  const startup = createStartup(() => now)
  startup.mark('boot')
  now = 100
  startup.mark('display')
  now = 700.4
  startup.mark('browser')
  assert.deepEqual(startup.steps(), { boot: 40, display: 60, browser: 600 })
})

test('who waits for the end of the start hears of it at once, and nobody waits afterwards', async () => {
  const startup = createStartup()
  let heard = 0
  const waiting = [1, 2].map(async () => {
    await startup.finished(60_000, never)
    heard += 1
  })
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(heard, 0)
  startup.finish()
  await Promise.all(waiting)
  assert.equal(heard, 2)
  await startup.finished(60_000, never)
})

test('a wait ends when its time is up, and when the client has gone', async () => {
  const startup = createStartup()
  await startup.finished(1, never)
  await startup.finished(0, never)
  await startup.finished(60_000, AbortSignal.abort())
})

test('how long a client would wait is read as RFC 7240 has it, and bounded', () => {
  assert.equal(preferredWaitMs('wait=1'), 1000)
  assert.equal(preferredWaitMs('respond-async, wait=2'), 2000)
  assert.equal(preferredWaitMs(['respond-async', 'WAIT=3']), 3000)
  assert.equal(preferredWaitMs('wait=99999'), 10_000)
  for (const none of [undefined, '', 'wait', 'wait=-1', 'await=1', 'wait=x', 'wait=999999']) {
    assert.equal(preferredWaitMs(none), 0)
  }
})
