import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultFor, sessionPath, wordsFor } from './signin-words.js'

test('every reason of the gateway has words of its own', () => {
  const titles = ['missing', 'expired', 'used', 'gone', 'not-kept'].map(reason => wordsFor(reason).title)
  assert.equal(new Set(titles).size, 5)
})

test('an unknown reason reads as a missing link', () => {
  assert.deepEqual(wordsFor('__REASON__'), wordsFor('missing'))
  assert.deepEqual(wordsFor('toString'), wordsFor('missing'))
  assert.deepEqual(wordsFor(undefined), wordsFor('missing'))
})

test('a refused token is explained by what the gateway answered', () => {
  assert.match(faultFor(401), /not valid/)
  assert.match(faultFor(403), /runtimes:connect/)
  assert.match(faultFor(404), /no such browser/)
  assert.match(faultFor(410), /deleted/)
  assert.match(faultFor(0), /did not answer/)
  assert.match(faultFor(503), /503/)
})

test('the session is the one of the view, whatever page below it was asked for', () => {
  assert.equal(sessionPath('/view/0123456789abcdef/vnc.html'), '/view/0123456789abcdef/session')
  assert.equal(sessionPath('/view/0123456789abcdef'), '/view/0123456789abcdef/session')
  assert.equal(
    sessionPath('/at/a/prefix/view/0123456789abcdef/core/x.js'),
    '/at/a/prefix/view/0123456789abcdef/session',
  )
  assert.equal(sessionPath('/elsewhere/page.html'), '/elsewhere/session')
})
