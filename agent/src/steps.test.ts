import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Outcome } from './readiness.ts'
import { timeSteps } from './steps.ts'

const clock = () => {
  let now = 1000
  const pass = async (ms: number) => {
    now += ms
  }
  return { now: () => now, pass }
}

test('what a step took is told in whole milliseconds, of a step in two parts their sum', async () => {
  const { now, pass } = clock()
  const steps = timeSteps(now)
  await steps.time('create', () => pass(20.4))
  await steps.time('volume', () => pass(5))
  await steps.time('create', () => pass(30.3))
  assert.deepEqual(steps.took(), { create: 51, volume: 5 })
})

test('a step that fails took its time too', async () => {
  const { now, pass } = clock()
  const steps = timeSteps(now)
  const failed = steps.time('start', async () => {
    await pass(7)
    throw new Error('no')
  })
  await assert.rejects(failed, /no/)
  assert.deepEqual(steps.took(), { start: 7 })
})

test('the wait for the answer is what the container tells, and the rest', async () => {
  const { now, pass } = clock()
  const steps = timeSteps(now)
  const outcome = await steps.timeAnswer(async () => {
    await pass(900)
    return { end: 'ready', steps: { boot: 50, browser: 700 } }
  })
  assert.equal(outcome.end, 'ready')
  assert.deepEqual(steps.took(), { boot: 50, browser: 700, answer: 150 })
})

test('a container that tells nothing is waited for in one step, one whose clock began earlier leaves no rest', async () => {
  const answers: [Outcome, object][] = [
    [{ end: 'ready' }, { answer: 300 }],
    [{ end: 'aborted', lastFailure: 'ECONNREFUSED' }, { answer: 300 }],
    [
      { end: 'ready', steps: { boot: 310 } },
      { boot: 310, answer: 0 },
    ],
  ]
  for (const [outcome, expected] of answers) {
    const { now, pass } = clock()
    const steps = timeSteps(now)
    await steps.timeAnswer(async () => {
      await pass(300)
      return outcome
    })
    assert.deepEqual(steps.took(), expected)
  }
})
