import {
  addIssuer,
  addJoinToken,
  addTicket,
  addToken,
  claimOwner,
  connect,
  findHost,
  findRuntimeById,
  findTenant,
  listIssuers,
  migrate,
  putTenant,
  revokeToken,
  startOn,
  takeTicket,
  toRunning,
  updateTenant,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { heartbeatAudience } from '@porthole/protocol'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { pino } from 'pino'
import { ulid } from 'ulid'
import { parseConfig } from '../config.ts'
import { signViewPass, viewTicketKey } from '../edge/tickets.ts'
import { type Mode, type OwnerHash, ownerHashOf } from '../identity/owner.ts'
import { builtInSpecs } from '../runtimes/specs.ts'
import { serve } from '../server.ts'
import { createIssuer, type Issuer } from '../tokens/issuer.ts'
import { randomToken } from '../tokens/random.ts'
import { createSeal } from '../tokens/seal.ts'
import { startHost } from './host.ts'

/** Seconds that everything made here is good for. */
const lifetime = 600
const secret = 'a secret of the tests, long enough'

/** A runtime that runs, and all that a row may name beside it. */
export type Thing = {
  tenant: string
  owner: { mode: Mode; name: string }
  /** What `{runtime}`, `{hash}` and so on stand for. */
  names: Readonly<Record<string, string>>
}

export type World = {
  url: string
  issuer: Issuer
  /** The one that strangers ask for, in tenant `default`. */
  alice: Thing
  /** The same tenant's, of another owner. */
  bob: Thing
  /** The same tenant's, that people look at. */
  seen: Thing
  /** The same tenant's shared one. */
  shared: Thing
  /** Of a tenant that is suspended. */
  frozen: Thing
  /** What does not exist, but looks like it. */
  nothing: Thing
  /** The id of a token of `default` that was revoked. */
  revoked: string
  /** The id of a token of an owner named as bob is, in the tenant of `frozen`. */
  bobElsewhere: string
  /** A new thing of `default` and a good join token, for calls that change what they are about. */
  fresh(): Promise<Thing>
  ticketFor(thing: Thing, more?: { tokenId?: string; used?: boolean }): Promise<string>
  cookieFor(thing: Thing, tokenId?: string): Promise<string>
  /** What a host signs for its heartbeat. */
  heartbeatOf(thing: Thing): Promise<string>
  /** All that no stranger may change, and whether anybody has used it. */
  snapshot(): Promise<unknown>
  close(): Promise<void>
}

/** A gateway with a host of its own, on an empty database: tenants `default`, `acme`, and `frozen`, which is suspended. */
export const createWorld = async (databaseUrl: string): Promise<World> => {
  await migrate(databaseUrl)
  const database = connect(databaseUrl)
  const { db } = database
  const host = await startHost()
  const issuer = await createIssuer(db, createSeal(secret), Date.now)
  const hostKeys = new Map<string, CryptoKey>()
  // Live for as long as the tests last: nobody sends heartbeats for it.
  const lastSeenAt = new Date(Date.now() + lifetime * 1000)
  await addHost(db, 'h1', 10_000, { url: host.url, lastSeenAt, memoryBytes: 1024 ** 5, cpuMillis: 1e9 })

  const thing = async (tenant: string, name: string, mode: Mode = 'docker-per-principal'): Promise<Thing> => {
    const ownerHash = ownerHashOf(tenant, mode, name)
    const claimed = await claimOwner(db, wanted(name, { tenant, mode, ownerHash }), lifetime * 1000)
    const started = claimed && (await startOn(db, claimed.row, 'h1', lifetime * 1000))
    const row = typeof started === 'object' ? await toRunning(db, started) : undefined
    if (!row) throw new Error(`the runtime of ${name} could not be made to run`)
    host.has(row)
    // A join token is a credential in itself: what is named here is good for nothing.
    const ids = { token: ulid(), host: `host_${ulid()}`, issuer: `is_${ulid()}`, join: randomToken('jt') }
    const subject = `for-${name}`
    await addToken(db, { id: ids.token, tenant, subject, scopes: [], owner: name, mode }, lifetime)
    const claims = { scopes: ['runtimes:read'] }
    const iss = { issuer: `urn:${ids.issuer}`, jwksUrl: 'http://127.0.0.1:1/', audience: 'a', algorithms: ['ES256'] }
    await addIssuer(db, { id: ids.issuer, tenant, claims, ...iss })
    const { publicKey, privateKey } = await generateKeyPair('Ed25519', { extractable: true })
    hostKeys.set(ids.host, privateKey)
    await addHost(db, ids.host, 0, { publicKey: (await exportJWK(publicKey)).x ?? '', lastSeenAt: null })
    const names = { tenant, owner: name, subject, agent: host.url, agentKey: host.key, ...ids }
    return { tenant, owner: { mode, name }, names: { ...names, runtime: row.id, hash: ownerHash } }
  }

  for (const slug of ['default', 'acme', 'frozen']) await putTenant(db, { slug, mode: 'docker-per-principal' })
  const alice = await thing('default', 'alice')
  const bob = await thing('default', 'bob')
  const seen = await thing('default', 'seen')
  const shared = await thing('default', 'default', 'shared')
  const frozen = await thing('frozen', 'fred')
  const revoked = ulid()
  await addToken(db, { id: revoked, tenant: 'default', subject: 'revoked', scopes: [] }, lifetime)
  await revokeToken(db, 'default', undefined, revoked)
  const bobElsewhere = ulid()
  const asBob = { owner: bob.owner.name, mode: bob.owner.mode }
  await addToken(db, { id: bobElsewhere, tenant: 'frozen', subject: 'bob', scopes: [], ...asBob }, lifetime)
  await updateTenant(db, 'frozen', { suspended: true })

  const none = (name = '') => name.replace(/.{4}$/, '0000')
  const { runtime, token, host: hostId, issuer: issuerId } = alice.names
  const ids = { runtime: none(runtime), token: none(token), host: none(hostId), issuer: none(issuerId) }
  const missing = { ...ids, hash: 'f'.repeat(16), owner: 'nobody', tenant: 'nobody', subject: 'for-nobody' }
  const nothing: Thing = { ...alice, names: { ...alice.names, ...missing } }

  const settings = parseConfig({ DATABASE_URL: databaseUrl, PORTHOLE_SECRET: secret, PORT: '0' })
  // As the built-in one, with a named port besides.
  const specs = builtInSpecs.map(spec => ({
    ...spec,
    recipe: { ...spec.recipe, ports: { ...spec.recipe.ports, app: 3000 } },
  }))
  const config = { ...settings, specs }
  const gateway = await serve(config, pino({ level: 'silent' }))
  let made = 0

  const passOf = ({ tenant, names }: Thing, tokenId: string | undefined) => ({
    tenant,
    ownerHash: (names.hash ?? '') as OwnerHash,
    access: 'control' as const,
    subject: 'person',
    tokenId,
    issuerId: undefined,
  })

  return {
    url: gateway.url,
    issuer,
    alice,
    bob,
    seen,
    shared,
    frozen,
    nothing,
    revoked,
    bobElsewhere,
    fresh: async () => {
      const fresh = await thing('default', `fresh-${made++}`)
      await addJoinToken(db, fresh.names.join ?? '', 'test', lifetime)
      return fresh
    },
    ticketFor: async (of, { tokenId, used = false } = {}) => {
      const ticket = randomToken('tk')
      const { ownerHash, ...pass } = passOf(of, tokenId)
      const goodUntil = new Date(Date.now() + lifetime * 1000)
      const row = {
        ...pass,
        ownerHash,
        runtimeId: of.names.runtime ?? '',
        tokenId: tokenId ?? null,
        issuerId: null,
        goodUntil,
      }
      await addTicket(db, viewTicketKey(ticket), row, 60)
      if (used) await takeTicket(db, viewTicketKey(ticket), ownerHash)
      return ticket
    },
    cookieFor: (of, tokenId) => signViewPass(issuer, passOf(of, tokenId), lifetime),
    heartbeatOf: async ({ names: { host: id = '' } }) => {
      const key = hostKeys.get(id)
      if (!key) throw new Error(`there is no host ${id}`)
      const jwt = new SignJWT().setProtectedHeader({ alg: 'EdDSA' }).setIssuer(id).setAudience(heartbeatAudience)
      return jwt.setIssuedAt().setExpirationTime('1m').sign(key)
    },
    snapshot: async () => {
      const rows = [alice, bob, frozen].map(({ names }) => findRuntimeById(db, names.runtime ?? ''))
      const slugs = ['default', 'frozen', 'nobody'].map(slug => findTenant(db, slug))
      return {
        runtimes: await Promise.all(rows),
        tenants: (await Promise.all(slugs)).map(row => row && { mode: row.mode, suspendedAt: row.suspendedAt }),
        host: await findHost(db, alice.names.host ?? ''),
        token: await db.query.tokens.findFirst({ where: (row, { eq }) => eq(row.id, alice.names.token ?? '') }),
        issuer: (await listIssuers(db, 'default')).find(({ id }) => id === alice.names.issuer),
        others: await listIssuers(db, 'nobody'),
      }
    },
    close: async () => {
      await gateway.close()
      await database.close()
      host.close()
    },
  }
}
