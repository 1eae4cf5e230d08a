import { callerAudience, mintToken, scopes, tenantScopes } from '../tokens/caller.ts'
import type { Shown } from './ask.ts'
import type { CallerName } from './expected.ts'
import { forgeAll } from './forge.ts'
import type { Row } from './row.ts'
import type { Thing, World } from './world.ts'

/** What each caller shows for a row, aimed at a thing. */
export type Callers = Record<CallerName, (row: Row, thing: Thing) => Shown | Promise<Shown>>

const bearer = (token: string): Shown => ({ headers: { authorization: `Bearer ${token}` } })
const cookie = (value: string): Shown => ({ headers: { cookie: `porthole_view=${value}` } })
/** Seconds. */
const lifetime = 600

/** Every kind of caller. Who shows a token or cookie that is no good has one that would be good for every row but for that. */
export const createCallers = async (world: World): Promise<Callers> => {
  const { issuer, alice, bob, frozen } = world
  const mint = (more: Partial<Parameters<typeof mintToken>[1]>, seconds = lifetime) =>
    mintToken(issuer, { tenant: 'default', subject: 'test', scopes, jti: 'j', ...more }, seconds)
  const now = Math.floor(Date.now() / 1000)
  const all = { tenant: 'default', sub: 'test', scope: scopes.join(' ') }
  const good = await mint({})
  const forged = await forgeAll(issuer, 'default')
  const shownOnce = {
    early: await issuer.sign({ ...all, nbf: now + 300 }, { audience: callerAudience, seconds: lifetime }),
    forHost: await issuer.sign({ ...all, use: 'command' }, { audience: 'h1', seconds: lifetime }),
    aliceCookie: await world.cookieFor(alice),
    used: await world.ticketFor(alice, { used: true }),
    bobs: await world.ticketFor(bob),
  }
  const show = (shown: Shown) => () => shown
  const token = async (...args: Parameters<typeof mint>) => show(bearer(await mint(...args)))

  return {
    'nobody at all': show({}),
    'a malformed token': show(bearer('not.a.token')),
    'another scheme than Bearer': show({ headers: { authorization: `Basic ${good}` } }),
    'alg none': show(bearer(forged['alg none'])),
    'HS256 keyed with our public key': show(bearer(forged['HS256 keyed with our public key'])),
    'HS256 keyed with our public key as PEM': show(bearer(forged['HS256 keyed with our public key as PEM'])),
    'RS256 under the id of our key': show(bearer(forged['RS256 under the id of our key'])),
    'another key under the id of ours': show(bearer(forged['another key under the id of ours'])),
    'a key of their own in the header': show(bearer(forged['a key of their own in the header'])),
    'an id that no key has': show(bearer(forged['an id that no key has'])),
    'an expired token': await token({}, -1),
    'a token that is not yet good': show(bearer(shownOnce.early)),
    "a token for a host's ears": show(bearer(shownOnce.forHost)),
    'a token of a tenant that does not exist': await token({ tenant: 'nobody' }),
    'a revoked token': await token({ jti: world.revoked }),
    'a ticket in place of a token': show(bearer(shownOnce.bobs)),
    'a cookie in place of a token': show(bearer(shownOnce.aliceCookie)),
    'a token in place of a cookie': show(cookie(good)),
    'a ticket that was used': show({ ticket: shownOnce.used }),
    "another runtime's ticket": show({ ticket: shownOnce.bobs }),
    "a suspended tenant's ticket": async () => ({ ticket: await world.ticketFor(frozen) }),
    "a revoked token's ticket": async () => ({ ticket: await world.ticketFor(alice, { tokenId: world.revoked }) }),
    "another view's cookie": show(cookie(await world.cookieFor(bob))),
    "a suspended tenant's cookie": show(cookie(await world.cookieFor(frozen))),
    "a revoked token's cookie": show(cookie(await world.cookieFor(alice, world.revoked))),
    'a suspended tenant': await token({ tenant: 'frozen' }),
    'a token without the scope': async row =>
      bearer(await mint({ scopes: scopes.filter(scope => scope !== row.scope), jti: `not ${row.scope}` })),
    'another tenant': await token({ tenant: 'acme', scopes: tenantScopes }),
    'another owner': await token({ owner: bob.owner }),
    'the ticket': async (_row, thing) => ({ ticket: await world.ticketFor(thing) }),
    'the cookie': async (_row, thing) => cookie(await world.cookieFor(thing)),
    'the rightful caller': async (row, thing) => {
      if (row.credential === 'host') return bearer(await world.heartbeatOf(thing))
      return bearer(await mint({ scopes: row.scope ? [row.scope] : [] }))
    },
    "the owner's own token": async (row, thing) => {
      if (row.credential === 'host') return bearer(await world.heartbeatOf(thing))
      return bearer(await mint({ scopes: row.scope ? [row.scope] : [], owner: thing.owner }))
    },
  }
}
