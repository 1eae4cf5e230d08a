import assert from 'node:assert/strict'
import { it } from 'node:test'
import { createCalls } from './calls.ts'
import { Problem } from './problem.ts'

it('a tenant has so many calls at once, others are not held up, and what is over counts no more, once', () => {
  const calls = createCalls(2)
  const leave = calls.enter('a')
  calls.enter('a')
  const isLimited = (error: unknown) => error instanceof Problem && error.code === 'rate-limited'
  assert.throws(() => calls.enter('a'), isLimited)
  calls.enter('b')
  leave()
  leave()
  calls.enter('a')
  assert.throws(() => calls.enter('a'), isLimited)
})
