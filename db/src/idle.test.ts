import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWarnedOf, nextDeadline, nextEnd } from './idle.ts'
import { type IdlePolicy, type RuntimeState, runtimeStates } from './states.ts'

const start = Date.parse('2026-11-21T12:00:00Z')
const seconds = (at: Date | undefined) => at && (at.getTime() - start) / 1000
const next = (state: RuntimeState, idle: IdlePolicy, usedAfter = 0) =>
  nextDeadline({ state, idle, createdAt: new Date(start), lastUsedAt: new Date(start + usedAfter * 1000) })

test('what is due next depends on the state, and counts from the last use', () => {
  const all = { pauseAfter: 300, stopAfter: 900, deleteAfter: 3600 }
  const due = Object.fromEntries(
    runtimeStates.map(state => {
      const deadline = next(state, all, 100)
      return [state, deadline && `${deadline.action} at ${seconds(deadline.at)}`]
    }),
  )
  assert.deepEqual(due, {
    pending: undefined,
    starting: undefined,
    running: 'pause at 400',
    paused: 'stop at 1000',
    stopping: undefined,
    stopped: 'delete at 3700',
    failed: 'delete at 3700',
    lost: 'delete at 3700',
    deleting: undefined,
    deleted: undefined,
  })
})

test('an age counts from the creation, in every state, whatever the use', () => {
  for (const state of runtimeStates) {
    const deadline = next(state, { maxAge: 600 }, 500)
    if (state === 'deleting' || state === 'deleted') assert.equal(deadline, undefined)
    else assert.deepEqual([deadline?.action, deadline?.reason, seconds(deadline?.at)], ['delete', 'max-age', 600])
  }
})

test('whichever of use and age is first is next', () => {
  assert.equal(next('running', { stopAfter: 300, maxAge: 600 }, 100)?.reason, 'idle')
  assert.equal(next('running', { stopAfter: 300, maxAge: 600 }, 400)?.reason, 'max-age')
})

test('without rules nothing is due', () => {
  for (const state of runtimeStates) assert.equal(next(state, {}), undefined)
})

test('a warning is due so that it comes a minute before, or where that is more, in the middle', () => {
  assert.equal(seconds(next('running', { stopAfter: 900 })?.warnAt), 837)
  assert.equal(seconds(next('running', { stopAfter: 20 })?.warnAt), 10)
  assert.equal(seconds(next('running', { maxAge: 100 }, 50)?.warnAt), 50)
})

test('an end that use has put off is another one, and one told to the millisecond by another is not', () => {
  const at = new Date(start)
  assert.equal(isWarnedOf({ warnedFor: null }, { at }), false)
  assert.equal(isWarnedOf({ warnedFor: at }, { at }), true)
  assert.equal(isWarnedOf({ warnedFor: new Date(start - 30) }, { at }), true)
  assert.equal(isWarnedOf({ warnedFor: new Date(start - 5000) }, { at }), false)
})

test('an end whose warning is too late comes as long after it as the warning is meant to be before', () => {
  const at = (second: number) => new Date(start + second * 1000)
  const end = (now: number, idle: IdlePolicy, warnedFor?: number, stateAt = 0, state: RuntimeState = 'running') => {
    const more = { stateAt: at(stateAt), warnedFor: warnedFor === undefined ? null : at(warnedFor) }
    const next = nextEnd({ state, idle, createdAt: at(0), lastUsedAt: at(0), ...more }, at(now))
    return next && [next.action, seconds(next.at), next.isWarned]
  }
  const both = { pauseAfter: 300, stopAfter: 900 }
  assert.deepEqual(end(240, both), ['pause', 300, false])
  assert.deepEqual(end(2000, both), ['pause', 2060, false])
  assert.deepEqual(end(2030, both, 2060), ['pause', 2060, true])
  assert.deepEqual(end(2060, both, 2060, 2060, 'paused'), ['stop', 2120, false], 'that was of its pause')
  assert.deepEqual(end(100, { stopAfter: 20 }), ['stop', 110, false])
  assert.deepEqual(end(2000, { ...both, maxAge: 2010 }), ['delete', 2060, false], 'told of its age rather than of use')
  assert.deepEqual(end(2060, { maxAge: 600 }, 2060, 2050), ['delete', 2060, true], 'in whatever state')
})
