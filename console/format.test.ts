import assert from 'node:assert/strict'
import { test } from 'node:test'
import { age, bytes, claimsOf, cpus, playwrightSnippet } from './format.js'

const now = Date.parse('2026-03-01T12:00:00Z')
const ago = (seconds: number) => age(new Date(now - seconds * 1000).toISOString(), now)

test('an age is short, and exact enough', () => {
  assert.deepEqual(
    [0, 1, 2, 59, 60, 3599, 3600, 3600 * 3 + 600, 3600 * 11 + 600, 86_400, 86_400 + 3600 * 5, 86_400 * 40].map(ago),
    ['now', 'now', '2 s', '59 s', '1 min', '59 min', '1 h', '3 h 10 min', '11 h', '1 d', '1 d 5 h', '40 d'],
  )
})

test('a clock that is behind the gateway’s shows now, not a negative age', () => {
  assert.equal(ago(-30), 'now')
})

test('a time that is missing or unreadable is a dash', () => {
  assert.deepEqual([age(null, now), age(undefined, now), age('yesterday', now)], ['—', '—', '—'])
})

test('amounts are in the unit that is read most easily', () => {
  assert.deepEqual([0, 512 * 2 ** 20, 2 ** 30, 1.5 * 2 ** 30, 62.7 * 2 ** 30].map(bytes), [
    '0 GiB',
    '512 MiB',
    '1 GiB',
    '1.5 GiB',
    '63 GiB',
  ])
  assert.deepEqual([0, 500, 2000, 7600].map(cpus), ['0', '0.5', '2', '7.6'])
})

test('a token’s own claims are shown, whatever alphabet its names use', () => {
  const middle = Buffer.from(JSON.stringify({ tenant: 'acme', owner: 'Zoë', exp: 1_800_000_000 })).toString('base64url')
  assert.deepEqual(claimsOf(`e30.${middle}.x`), { tenant: 'acme', owner: 'Zoë', expiresAt: 1_800_000_000_000 })
})

test('a token that is not a JWT claims nothing', () => {
  assert.deepEqual([claimsOf(''), claimsOf('opaque'), claimsOf('a.!!!.c'), claimsOf('a.bnVsbA.c')], [{}, {}, {}, {}])
})

test('the code to copy holds the address and no token', () => {
  const code = playwrightSnippet('https://porthole.example/cdp/2bd806c97f0e00af')
  assert.match(code, /connectOverCDP\("https:\/\/porthole\.example\/cdp\/2bd806c97f0e00af"/)
  assert.match(code, /Bearer \$\{process\.env\.PORTHOLE_TOKEN\}/)
})
