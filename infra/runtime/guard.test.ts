import assert from 'node:assert/strict'
import test from 'node:test'
import { createGuard, hostOf } from './guard.ts'

const guard = createGuard({ key: 'sekret', hostname: '0123456789ab' })
const good = { host: '172.17.0.2:8787', 'x-porthole-key': 'sekret' }

test('the key lets in, whether by address, localhost or the name of the container', () => {
  for (const host of [
    '172.17.0.2:8787',
    '172.17.0.2',
    '[::1]:9222',
    '[fe80::1]',
    'localhost:6080',
    '0123456789AB:8787',
  ]) {
    assert.equal(guard({ ...good, host }), undefined, host)
  }
})

test('a missing, wrong or repeated key is unauthorized', () => {
  assert.equal(guard({ host: good.host }), 'unauthorized')
  for (const key of ['', 'sekre', 'sekret ', 'SEKRET', 'sekret, sekret']) {
    assert.equal(guard({ ...good, 'x-porthole-key': key }), 'unauthorized', key)
  }
})

test('a foreign or missing Host is refused before anything else', () => {
  for (const host of [
    undefined,
    '',
    'evil.test',
    'evil.test:8787',
    'localhost.evil.test',
    '127.0.0.1.evil.test',
    '127.1',
    '2130706433',
    '[evil]',
  ]) {
    assert.equal(guard({ ...good, host }), 'wrong-host', host)
  }
})

test('every Origin is refused, even null and our own', () => {
  for (const origin of ['null', 'http://172.17.0.2:8787', 'https://evil.test', '']) {
    assert.equal(guard({ ...good, origin }), 'origin-refused', origin)
  }
})

test('without a key everybody with a proper Host comes in', () => {
  const open = createGuard({ key: undefined, hostname: 'box' })
  assert.equal(open({ host: 'box:8787' }), undefined)
  assert.equal(open({ host: 'evil.test' }), 'wrong-host')
  assert.equal(open({ host: 'box', origin: 'null' }), 'origin-refused')
})

test('the host of a header is without port, brackets and case', () => {
  assert.equal(hostOf('LocalHost:80'), 'localhost')
  assert.equal(hostOf('[::1]:80'), '::1')
  assert.equal(hostOf('10.0.0.1'), '10.0.0.1')
})
