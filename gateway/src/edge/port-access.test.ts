import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OwnerHash } from '../identity/owner.ts'
import { isOwnRequest } from './port-access.ts'
import { createPortHosts } from './port-hosts.ts'
import { answerOnOrigin, cookieForHost, cookiesWithout } from './port-target.ts'

const ownerHash = '2bd806c97f0e00af' as OwnerHash
const portHosts = createPortHosts('https://browsers.example.com', 'ports.example.com')
const origin = portHosts.originOf({ ownerHash, name: 'app' })
const asks = (headers: Record<string, string>, method = 'GET') =>
  isOwnRequest({ portHosts }, { ownerHash, origin }, { headers, method })

test('with a cookie, a port’s own page and those of its siblings may ask for anything', () => {
  assert(asks({ origin: `https://app-${ownerHash}.ports.example.com` }, 'POST'))
  assert(asks({ origin: `https://app-${ownerHash}.ports.example.com`, upgrade: 'websocket' }))
  assert(asks({ origin: `https://api-${ownerHash}.ports.example.com` }, 'POST'))
  assert(asks({ 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'no-cors' }))
  assert(asks({ 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }))
  assert(asks({}))
})

test('with a cookie, what other pages send, embed or connect is refused', () => {
  for (const from of [
    'https://evil.example',
    'null',
    'https://browsers.example.com',
    'https://app-0000000000000000.ports.example.com',
    `http://app-${ownerHash}.ports.example.com`,
    `https://app-${ownerHash}.ports.example.com:444`,
    `https://app-${ownerHash}.ports.example.com.evil.example`,
  ])
    assert(!asks({ origin: from }), from)
  assert(!asks({ upgrade: 'websocket' }), 'browsers send an Origin with every upgrade')
  for (const site of ['same-site', 'cross-site'])
    assert(!asks({ 'sec-fetch-site': site, 'sec-fetch-mode': 'no-cors' }), site)
  assert(!asks({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, 'POST'))
})

test('a person may follow a link from anywhere', () => {
  assert(asks({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }))
})

test('a container gets its own cookies and not ours', () => {
  assert.equal(cookiesWithout('a=1; mine=2;  b="x=y"', 'mine'), 'a=1; b="x=y"')
  assert.equal(cookiesWithout('mine=2', 'mine'), undefined)
  assert.equal(cookiesWithout('mine=2; mine = 3 ;', 'mine'), undefined)
  assert.equal(cookiesWithout(undefined, 'mine'), undefined)
})

test('a container’s cookie stays on its host, and is never ours', () => {
  assert.equal(cookieForHost('a=1; Domain=example.com; Path=/x; Secure', 'mine'), 'a=1; Path=/x; Secure')
  assert.equal(cookieForHost('a=1;domain = .example.com;domain', 'mine'), 'a=1')
  assert.equal(cookieForHost('mydomain=1; Path=/', 'mine'), 'mydomain=1; Path=/')
  assert.equal(cookieForHost('mine=evil; Path=/', 'mine'), undefined)
  assert.equal(cookieForHost(' Mine =evil', 'mine'), undefined)
})

test('a container says nothing that reaches beyond its host', () => {
  const answer = answerOnOrigin('https://app.ports.example.com', 'mine')
  // Its "cookies" are those of the registrable domain (Clear Site Data, section 3.1).
  for (const header of ['clear-site-data', 'strict-transport-security', 'alt-svc', 'x-porthole-access'])
    assert.equal(answer(header, '"*"'), undefined, header)
  assert.equal(answer('content-security-policy', 'default-src *'), 'default-src *')
  assert.equal(answer('location', 'http://app.ports.example.com/x'), '/x')
  assert.equal(answer('set-cookie', 'a=1; Domain=example.com'), 'a=1')
})
