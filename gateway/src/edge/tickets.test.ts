import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { OwnerHash } from '../identity/owner.ts'
import { randomToken } from '../tokens/random.ts'
import { portTicketKey } from './port-access.ts'
import { createViewPasses, ticketIn, viewTicketKey } from './tickets.ts'

const alice = '2bd806c97f0e00af' as OwnerHash
const bob = '81b637d8fcd2c6da' as OwnerHash

/** An issuer to whom every cookie is one of alice's. */
const bench = () => {
  let at = 1_700_000_000_000
  let checks = 0
  const payload = { tenant: 'default', ownerHash: alice, access: 'view', sub: 's', exp: at / 1000 + 3600 }
  const verify = async () => {
    checks++
    if (payload.exp * 1000 <= at) throw new Error('expired')
    return payload
  }
  const passes = createViewPasses({ verify }, () => at)
  const pass = (ms: number) => {
    at += ms
  }
  return { passes, pass, checks: () => checks }
}

it("a view cookie's signature is checked once a minute, however often it comes", async () => {
  const { passes, pass, checks } = bench()
  for (let n = 0; n < 1000; n++) assert.equal((await passes.read('c', alice))?.access, 'view')
  assert.equal(checks(), 1)
  pass(60_000)
  await passes.read('c', alice)
  assert.equal(checks(), 2)
})

it('a remembered cookie is good for its own owner only', async () => {
  const { passes } = bench()
  await passes.read('c', alice)
  assert.equal(await passes.read('c', bob), undefined)
  assert.equal(await passes.read(undefined, alice), undefined)
})

it('a remembered cookie does not outlive itself', async () => {
  const { passes, pass } = bench()
  pass(3_570_000)
  assert(await passes.read('c', alice))
  pass(30_000)
  assert.equal(await passes.read('c', alice), undefined)
})

it('a cookie is checked anew after keys have changed', async () => {
  const { passes, checks } = bench()
  await passes.read('c', alice)
  passes.forget()
  await passes.read('c', alice)
  assert.equal(checks(), 2)
})

it('a ticket is taken in the very form in which it was given, and in no other', () => {
  const token = randomToken('tk')
  assert.equal(ticketIn(token), token)
  const crooked = [
    '',
    `${token} app`,
    `app ${token}`,
    `${token}\n`,
    ` ${token}`,
    `${token}x`,
    token.slice(0, -1),
    'tk_',
  ]
  for (const said of [...crooked, token.replace('tk', 'jt'), undefined]) assert.equal(ticketIn(said), undefined, said)
})

it('what a ticket for a port is kept under is nothing that a ticket for the view could be', () => {
  const token = randomToken('tk')
  const keys = [viewTicketKey(token), portTicketKey(token, { name: 'app' }), portTicketKey(token, { name: 'view' })]
  assert.equal(new Set(keys).size, keys.length)
  const [view = ''] = keys
  assert.match(view, /^view /)
  for (const key of keys.slice(1)) assert.match(key, /^port /)
})
