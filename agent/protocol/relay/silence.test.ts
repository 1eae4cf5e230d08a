import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createSilence } from './silence.ts'

const bench = (t: TestContext, patienceMs: number) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let at = 0
  let bytes = 0
  let ended = 0
  const silence = createSilence(1_000, () => at)
  const watched = {
    patienceMs,
    passed: () => bytes,
    over: () => {
      ended += 1
    },
  }
  const forget = silence.watch(watched)
  const pass = (seconds: number, more = 0) => {
    for (let n = 0; n < seconds; n += 1) {
      at += 1_000
      bytes += more
      t.mock.timers.tick(1_000)
    }
  }
  return { pass, ended: () => ended, watched, forget }
}

test('what is silent for its patience is over, once', t => {
  const { pass, ended } = bench(t, 60_000)
  pass(59)
  assert.equal(ended(), 0)
  pass(1)
  assert.equal(ended(), 1)
  pass(120)
  assert.equal(ended(), 1)
})

test('a byte a minute keeps it', t => {
  const { pass, ended } = bench(t, 60_000)
  for (let minute = 0; minute < 10; minute += 1) {
    pass(58)
    pass(1, 1)
  }
  assert.equal(ended(), 0)
})

test('without patience it stays for ever', t => {
  const { pass, ended } = bench(t, 0)
  pass(10_000)
  assert.equal(ended(), 0)
})

test('given patience with a sign of life, it has all of it', t => {
  const { pass, ended, watched } = bench(t, 0)
  pass(10_000)
  watched.patienceMs = 60_000
  pass(1, 1)
  pass(59)
  assert.equal(ended(), 0)
  pass(1)
  assert.equal(ended(), 1)
})

test('what has ended by itself is not ended again', t => {
  const { pass, ended, forget } = bench(t, 1_000)
  forget()
  pass(10)
  assert.equal(ended(), 0)
})
