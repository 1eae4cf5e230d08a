import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OwnerHash } from '../identity/owner.ts'
import { createPortHosts, parsePortPath, tellsWhoAsks } from './port-hosts.ts'

const ownerHash = '2bd806c97f0e00af' as OwnerHash
const hosts = createPortHosts('https://browsers.example.com:8443/base', 'ports.example.com')
const host = `app-${ownerHash}.ports.example.com:8443`

test('a port has a host name below the domain, with scheme and port of the public URL', () => {
  assert.equal(hosts.urlOf({ ownerHash, name: 'app' }), `https://${host}/`)
  assert.deepEqual(hosts.read(host), { ownerHash, name: 'app' })
  assert.deepEqual(hosts.read(`a-b-${ownerHash}.ports.example.com:8443`), { ownerHash, name: 'a-b' })
})

test('a host name is the same in any case, and with a dot at its end', () => {
  assert.deepEqual(hosts.read(host.toUpperCase()), { ownerHash, name: 'app' })
  assert.deepEqual(hosts.read(host.replace(':', '.:')), { ownerHash, name: 'app' })
})

test('what is below the domain and no port’s is nobody’s, and never the gateway’s', () => {
  for (const other of [
    `app-${ownerHash}.ports.example.com`,
    `app-${ownerHash}.ports.example.com:443`,
    `x.app-${ownerHash}.ports.example.com:8443`,
    `app-${ownerHash}0.ports.example.com:8443`,
    `App_-${ownerHash}.ports.example.com:8443`,
    `-${ownerHash}.ports.example.com:8443`,
    `1app-${ownerHash}.ports.example.com:8443`,
    'www.ports.example.com:8443',
    '.ports.example.com:8443',
  ])
    assert.equal(hosts.read(other), 'nobody', other)
})

test('every other host is the gateway’s', () => {
  for (const other of [
    undefined,
    '',
    'browsers.example.com:8443',
    'ports.example.com:8443',
    `app-${ownerHash}.evil.example.com`,
    `app-${ownerHash}.ports.example.com.evil.example`,
    `app-${ownerHash}.xports.example.com`,
    '127.0.0.1:8443',
  ])
    assert.equal(hosts.read(other), undefined, other)
})

test('a gateway whose own name is below the domain keeps it', () => {
  const inside = createPortHosts('https://browsers.example.com', 'example.com')
  assert.equal(inside.read('browsers.example.com'), undefined)
  assert.equal(inside.read('other.example.com'), 'nobody')
})

test('without a domain ports are paths of the gateway, and no host is a port’s', () => {
  const plain = createPortHosts('https://browsers.example.com/base', undefined)
  assert.equal(plain.urlOf({ ownerHash, name: 'app' }), `https://browsers.example.com/base/port/${ownerHash}/app/`)
  assert.equal(plain.originOf({ ownerHash, name: 'app' }), undefined)
  assert.equal(plain.read(host), undefined)
})

test('a path names a port by its first segment', () => {
  assert.deepEqual(parsePortPath('/app/a?b'), { name: 'app', rest: '/a?b' })
  assert.deepEqual(parsePortPath('/app'), { name: 'app', rest: '' })
  assert.deepEqual(parsePortPath('/app?b'), { name: 'app', rest: '?b' })
  for (const other of ['', '/', '//app', '/App/', '/9/', `/${'a'.repeat(32)}/`])
    assert.equal(parsePortPath(other), undefined, other)
})

test('who asks is told to https and to localhost, and to no other plain host', () => {
  assert(tellsWhoAsks('https://b.example.com', 'ports.example.com'))
  assert(tellsWhoAsks('http://127.0.0.1:4747', 'localhost'))
  assert(tellsWhoAsks('http://127.0.0.1:4747', 'ports.localhost'))
  for (const domain of ['ports.example.com', 'localhost.example.com', 'notlocalhost'])
    assert(!tellsWhoAsks('http://b.example.com', domain), domain)
})
