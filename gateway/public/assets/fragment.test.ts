import assert from 'node:assert/strict'
import { test } from 'node:test'
import { splitToken, takeToken } from './fragment.js'

test('the token is found wherever it stands, and the other options stay as they were written', () => {
  assert.deepEqual(splitToken('#token=a.b.c'), { token: 'a.b.c', rest: '' })
  assert.deepEqual(splitToken('#view_only=1&token=a%2Eb&resize=off'), { token: 'a.b', rest: 'view_only=1&resize=off' })
})

test('a fragment without a token is left alone', () => {
  assert.deepEqual(splitToken(''), { token: undefined, rest: '' })
  assert.deepEqual(splitToken('#view_only=1'), { token: undefined, rest: 'view_only=1' })
  assert.deepEqual(splitToken('#my_token=x'), { token: undefined, rest: 'my_token=x' })
})

test('a malformed escape is passed on for the server to refuse', () => {
  assert.equal(splitToken('#token=%E0%A4%A').token, '%E0%A4%A')
})

test('taking the token removes it from the address bar and keeps the rest of the address', () => {
  const shown: unknown[] = []
  const history = { state: 7, replaceState: (...entry: unknown[]) => void shown.push(entry) }
  const location = { hash: '#token=secret&quality=3', pathname: '/view/0123/vnc.html', search: '?path=x' }
  assert.equal(takeToken(location, history), 'secret')
  assert.deepEqual(shown, [[7, '', '/view/0123/vnc.html?path=x#quality=3']])
})

test('an empty token is removed too, and counts as none', () => {
  const shown: unknown[] = []
  const history = { state: null, replaceState: (...entry: unknown[]) => void shown.push(entry[2]) }
  assert.equal(takeToken({ hash: '#token=', pathname: '/console/', search: '' }, history), undefined)
  assert.deepEqual(shown, ['/console/'])
})
