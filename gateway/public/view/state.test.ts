import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoffMs, messageOf, optionsFrom, verdictOf } from './state.js'

test('the wait doubles from a quarter of a second to five seconds', () => {
  const waits = [0, 1, 2, 3, 4, 5, 6, 5000].map(attempt => backoffMs(attempt, () => 0))
  assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 5000, 5000, 5000])
})

test('chance shortens a wait by a quarter at most', () => {
  assert.equal(
    backoffMs(10, () => 0.999999),
    3750,
  )
})

test('the answer for the page itself decides what happens after the socket closed', () => {
  const verdicts = Object.fromEntries(
    [0, 200, 304, 401, 403, 404, 410, 429, 502, 503].map(s => [s, verdictOf({ status: s })]),
  )
  assert.deepEqual(verdicts, {
    0: 'retry',
    200: 'retry',
    304: 'retry',
    401: 'expired',
    403: 'expired',
    404: 'gone',
    410: 'gone',
    429: 'waiting',
    502: 'waiting',
    503: 'waiting',
  })
})

test('a runtime that rests is not woken by a reconnect', () => {
  assert.equal(verdictOf({ status: 200, state: 'stopped' }), 'stopped')
  assert.equal(verdictOf({ status: 200, state: 'stopping' }), 'stopped')
  assert.equal(verdictOf({ status: 200, state: 'paused' }), 'paused')
  assert.equal(verdictOf({ status: 200, state: 'deleting' }), 'gone')
  assert.equal(verdictOf({ status: 200, state: 'starting' }), 'retry')
  assert.equal(verdictOf({ status: 200, state: 'failed' }), 'failed')
  assert.equal(verdictOf({ status: 200, state: 'lost' }), 'lost')
  assert.equal(verdictOf({ status: 200, state: 'away' }), 'waiting')
  assert.equal(verdictOf({ status: 401, state: 'stopped' }), 'expired')
})

test('options come from the fragment, and nonsense is ignored', () => {
  assert.deepEqual(optionsFrom(''), { viewOnly: false, resize: 'scale', quality: undefined })
  assert.deepEqual(optionsFrom('#view_only=1&resize=remote&quality=9'), {
    viewOnly: true,
    resize: 'remote',
    quality: 9,
  })
  assert.deepEqual(optionsFrom('#view_only=0&resize=huge&quality=10&path=//evil/x'), {
    viewOnly: false,
    resize: 'scale',
    quality: undefined,
  })
})

test('a person is told something in every phase but the connected one', () => {
  assert.equal(messageOf('connected'), undefined)
  assert.equal(messageOf('expired')?.action, 'reload')
  assert.equal(messageOf('stopped')?.action, 'resume')
  assert.equal(messageOf('reconnecting')?.busy, true)
})

test('in a frame of another site nobody is sent to a page that is not shown there', () => {
  for (const phase of ['expired', 'gone'] as const) {
    const framed = messageOf(phase, { isFramed: true })
    assert.equal(framed?.title, messageOf(phase)?.title)
    assert.equal(framed?.action, undefined)
    assert.match(framed?.detail ?? '', /the page around/)
  }
  assert.equal(messageOf('stopped', { isFramed: true })?.action, 'resume')
})

test('who may control is offered to start what failed or was lost, and who watches is not', () => {
  for (const phase of ['failed', 'lost'] as const) {
    assert.equal(messageOf(phase)?.action, 'resume')
    assert.equal(messageOf(phase)?.busy, false)
    assert.equal(messageOf(phase, { viewOnly: true })?.action, undefined)
  }
})

test('why it does not run is told in words, and a code that is not known is not shown', () => {
  assert.match(messageOf('failed', { why: 'no-capacity' })?.detail ?? '', /no room/)
  assert.equal(messageOf('failed', { why: 'x-y-z' })?.detail, messageOf('failed')?.detail)
})
