import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import {
  claimOwner,
  connect,
  type Database,
  putTenant,
  type RuntimeRow,
  startOn,
  toRunning,
  toStopping,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { freshDatabase } from '../../test/kit/database.ts'
import { eventually } from '../../test/kit/eventually.ts'
import { evidence } from '../../test/kit/evidence.ts'
import { testLog } from '../../test/kit/logs.ts'
import { parseConfig } from './config.ts'
import { ownerHashOf } from './identity/owner.ts'
import { type Gateway, serve } from './server.ts'
import { mintToken, type Scope, scopes } from './tokens/caller.ts'
import { createIssuer, type Issuer } from './tokens/issuer.ts'
import { createSeal } from './tokens/seal.ts'

const secret = evidence.remember('PORTHOLE_SECRET', 'a secret of the tests, long enough')
/** Milliseconds within which every gateway must know. */
const known = 2000

describe('who may reach what, on two gateways', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let issuer: Issuer
  let gateways: Gateway[]
  let admin: string
  let alice: RuntimeRow
  let upstream: http.Server

  before(async () => {
    fresh = await freshDatabase()
    const config = parseConfig({ DATABASE_URL: fresh.url, PORTHOLE_SECRET: secret, PORT: '0' })
    gateways = await Promise.all([1, 2].map(n => serve(config, testLog(`gateway-${n}`))))
    database = connect(fresh.url)
    for (const slug of ['default', 'acme']) await putTenant(database.db, { slug, mode: 'docker-per-principal' })
    issuer = await createIssuer(database.db, createSeal(secret), Date.now)
    admin = await mintToken(issuer, { tenant: 'default', subject: 'operator', scopes, jti: 'admin' }, 600)
    upstream = http.createServer((_req, res) => res.end('ok'))
    // Sockets that are never closed from this side.
    upstream.on('upgrade', (_req, socket) => {
      socket.on('error', () => {})
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    })
    upstream.listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    await addHost(database.db, 'h1', 100, {
      url: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
      memoryBytes: 1024 ** 4,
      cpuMillis: 1_000_000,
    })
    alice = await running('default', 'alice')
  })
  after(async () => {
    await Promise.all(gateways.map(gateway => gateway.close()))
    await database.close()
    upstream.closeAllConnections()
    upstream.close()
    await fresh.drop()
  })

  const running = async (tenant: string, owner: string, host = 'h1'): Promise<RuntimeRow> => {
    const ownerHash = ownerHashOf(tenant, 'docker-per-principal', owner)
    const claimed = await claimOwner(database.db, wanted(owner, { tenant, ownerHash }), 600_000)
    const started = claimed && (await startOn(database.db, claimed.row, host, 600_000))
    assert(typeof started === 'object')
    const row = await toRunning(database.db, started)
    assert(row)
    return row
  }

  const call = async (n: number, method: string, path: string, token: string, body?: unknown) => {
    const answer = await fetch(`${gateways[n]?.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    return { status: answer.status, body: text ? JSON.parse(text) : undefined }
  }
  const mint = async (body: object, by = admin) => {
    const answer = await call(0, 'POST', '/v1/tokens', by, body)
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    return answer.body as { id: string; token: string }
  }

  /** An open socket to a runtime; `closed` resolves with the milliseconds it took from the call. */
  const openSocket = async (n: number, token: string, hash = alice.ownerHash) => {
    const { port } = new URL(gateways[n]?.url ?? '')
    const socket = net.connect(Number(port), '127.0.0.1')
    socket.write(
      `GET /cdp/${hash} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    )
    const [head] = await once(socket, 'data')
    assert.match(String(head), /^HTTP\/1\.1 101 /)
    const over = once(socket, 'close')
    socket.resume()
    return {
      closed: async () => {
        const startedAt = performance.now()
        await Promise.race([over, delay(known + 1000).then(() => assert.fail('the socket stayed open'))])
        return performance.now() - startedAt
      },
      isOpen: () => !socket.destroyed,
      end: () => socket.destroy(),
    }
  }

  it('a revoked token is refused by every gateway, with all minted by it, and their sockets end', async () => {
    const parent = await mint({ scopes: ['runtimes:connect', 'runtimes:read', 'tokens:write'], tenant: 'default' })
    const child = await mint({ scopes: ['runtimes:connect', 'runtimes:read'] }, parent.token)
    const other = await mint({ scopes: ['runtimes:connect'] })
    const sockets = await Promise.all([openSocket(0, parent.token), openSocket(1, child.token)])
    const stays = await openSocket(1, other.token)
    assert.equal((await call(0, 'DELETE', `/v1/tokens/${parent.id}`, admin)).status, 204)
    const revokedAt = performance.now()
    for (const socket of sockets) assert((await socket.closed()) < known)
    for (const n of [0, 1])
      for (const { token } of [parent, child])
        await eventually(async () => {
          assert.equal((await call(n, 'GET', '/v1/runtimes', token)).status, 401)
        }, known)
    assert(performance.now() - revokedAt < known)
    assert(stays.isOpen())
    stays.end()
    assert.equal((await call(0, 'DELETE', `/v1/tokens/${parent.id}`, admin)).status, 204)
  })

  it('a token can mint no more than it may itself, and for no longer', async () => {
    const small = await mint({ scopes: ['runtimes:read', 'tokens:write'], ttl: 100 })
    const tooMuch = await call(0, 'POST', '/v1/tokens', small.token, { scopes: ['runtimes:write'] })
    assert.deepEqual([tooMuch.status, tooMuch.body.code], [403, 'insufficient-scope'])
    const elsewhere = await call(0, 'POST', '/v1/tokens', small.token, { scopes: ['runtimes:read'], tenant: 'acme' })
    assert.equal(elsewhere.status, 403)
    const child = await call(0, 'POST', '/v1/tokens', small.token, { scopes: ['runtimes:read'], ttl: 86_400 })
    assert(new Date(child.body.expiresAt).getTime() <= Date.now() + 101_000)
    const bound = await mint({ scopes: ['runtimes:read', 'tokens:write'], owner: 'alice' }, admin)
    assert.equal((await call(0, 'POST', '/v1/tokens', bound.token, { scopes: ['runtimes:read'] })).status, 403)
    const [unknown, others] = await Promise.all(
      [small.id, '01AAAAAAAAAAAAAAAAAAAAAAAA'].map(id => call(0, 'DELETE', `/v1/tokens/${id}`, bound.token)),
    )
    assert.deepEqual([unknown?.status, unknown?.body.code], [others?.status, others?.body.code])
    assert.equal(unknown?.status, 404)
    const list = await call(0, 'GET', '/v1/tokens', bound.token)
    assert.deepEqual(
      list.body.items.map(({ owner }: { owner: string }) => owner),
      ['alice'],
    )
    assert(!JSON.stringify(list.body).includes(bound.token))
  })

  it('a suspended tenant is shut out everywhere, its sockets end, and nobody else notices', async () => {
    const bob = await running('acme', 'bob')
    const theirs = await mint({ scopes: ['runtimes:connect', 'runtimes:read', 'runtimes:write'], tenant: 'acme' })
    const socket = await openSocket(1, theirs.token, bob.ownerHash)
    const ours = await openSocket(1, admin)
    assert.equal((await call(0, 'PATCH', '/v1/tenants/acme', admin, { suspended: true })).status, 200)
    assert((await socket.closed()) < known)
    for (const n of [0, 1])
      await eventually(async () => {
        const answer = await call(n, 'GET', '/v1/runtimes', theirs.token)
        assert.deepEqual([answer.status, answer.body.code], [403, 'tenant-suspended'])
      }, known)
    assert(ours.isOpen())
    ours.end()
    await call(0, 'PATCH', '/v1/tenants/acme', admin, { suspended: false })
    for (const n of [0, 1])
      await eventually(
        async () => assert.equal((await call(n, 'GET', '/v1/runtimes', theirs.token)).status, 200),
        known,
      )
  })

  it('stopping a runtime ends its open sockets on every gateway', async () => {
    const row = await running('default', 'stopper')
    const sockets = await Promise.all([0, 1].map(n => openSocket(n, admin, row.ownerHash)))
    const stays = await openSocket(0, admin)
    assert(await toStopping(database.db, row, 600_000, 'test'))
    for (const socket of sockets) assert((await socket.closed()) < known)
    assert(stays.isOpen())
    stays.end()
  })

  it('a socket ends when its token expires', async () => {
    const short = await mintToken(
      issuer,
      { tenant: 'default', subject: 's', scopes: ['runtimes:connect'], jti: 'short' },
      2,
    )
    const socket = await openSocket(0, short)
    assert((await socket.closed()) < 3500)
  })

  it('keys rotate: the next one is published before it signs, and old tokens stay good', async () => {
    const before = await mint({ scopes: ['runtimes:read'] })
    const kidsOf = async (n: number) => {
      const answer = await fetch(`${gateways[n]?.url}/.well-known/jwks.json`)
      return ((await answer.json()) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid)
    }
    const old = await kidsOf(0)
    assert.equal(await issuer.rotate({ everySeconds: 0, leadSeconds: 0 }), true)
    const fromNewKey = await mintToken(
      issuer,
      { tenant: 'default', subject: 'n', scopes: ['runtimes:read'], jti: 'n' },
      60,
    )
    const { kid } = JSON.parse(Buffer.from(fromNewKey.split('.')[0] ?? '', 'base64url').toString())
    assert(!old.includes(kid))
    // Gateways that have not looked since learn of the key by its first token.
    await delay(5100)
    for (const n of [0, 1]) {
      assert.equal((await call(n, 'GET', '/v1/runtimes', fromNewKey)).status, 200)
      assert.equal((await call(n, 'GET', '/v1/runtimes', before.token)).status, 200)
      assert.deepEqual(await kidsOf(n), [...old, kid])
    }
    assert.equal(await issuer.rotate(), false)
    assert.equal(await issuer.rotate({ everySeconds: 0, leadSeconds: 600 }), true)
    const waiting = issuer.jwks().keys.at(-1)?.kid
    const signedNow = await mintToken(issuer, { tenant: 'default', subject: 'n', scopes: [], jti: 'm' }, 60)
    assert.notEqual(JSON.parse(Buffer.from(signedNow.split('.')[0] ?? '', 'base64url').toString()).kid, waiting)
  })

  describe("a tenant's own issuer", () => {
    let keys: http.Server
    let answering: 'keys' | 'silence' = 'keys'
    let pair: Awaited<ReturnType<typeof generateKeyPair>>
    const name = 'https://login.acme.example'

    before(async () => {
      pair = await generateKeyPair('ES256', { extractable: true })
      const jwk = { ...(await exportJWK(pair.publicKey)), kid: 'a', alg: 'ES256' }
      keys = http.createServer((_req, res) => {
        if (answering === 'keys') res.end(JSON.stringify({ keys: [jwk] }))
      })
      keys.listen(0, '127.0.0.1')
      await once(keys, 'listening')
      await trust()
    })
    after(() => {
      keys.closeAllConnections()
      keys.close()
    })

    const trust = async () => {
      const added = await call(0, 'POST', '/v1/tenants/acme/issuers', admin, {
        issuer: name,
        jwksUrl: `http://127.0.0.1:${(keys.address() as AddressInfo).port}/jwks`,
        audience: 'porthole.acme',
        algorithms: ['ES256'],
        claims: { owner: 'email', scopes: ['runtimes:read', 'runtimes:write', 'runtimes:connect'] },
      })
      assert.equal(added.status, 201, JSON.stringify(added.body))
    }
    const sign = (claims: Record<string, unknown>, more: { issuer?: string; audience?: string; alg?: string } = {}) =>
      new SignJWT({ email: 'carol', ...claims })
        .setProtectedHeader({ alg: more.alg ?? 'ES256', kid: 'a' })
        .setIssuer(more.issuer ?? name)
        .setAudience(more.audience ?? 'porthole.acme')
        .setIssuedAt()
        .setExpirationTime('1m')
        .sign(pair.privateKey)

    it('is believed, in that tenant, within what it may, for the owner it names', async () => {
      const token = await sign({ tenant: 'default', scope: scopes.join(' ') })
      for (const n of [0, 1])
        await eventually(async () => {
          const list = await call(n, 'GET', '/v1/runtimes', token)
          assert.equal(list.status, 200)
        }, 6000)
      const made = await call(0, 'POST', '/v1/runtimes', token, { userId: 'carol', wait: 0 })
      assert.deepEqual([made.status, made.body.tenant], [202, 'acme'])
      assert.equal((await call(0, 'POST', '/v1/runtimes', token, { userId: 'dave', wait: 0 })).status, 403)
      assert.equal((await call(0, 'GET', '/v1/hosts', token)).status, 403)
      assert.equal((await call(0, 'POST', '/v1/tokens', token, { scopes: ['runtimes:read'] })).status, 403)
    })

    it('is not believed beyond its audience, its algorithms, or without the claim that names the owner', async () => {
      for (const token of [
        await sign({}, { audience: 'porthole' }),
        await sign({ email: '' }),
        await sign({ email: 7 }),
        await sign({}, { issuer: 'https://login.other.example' }),
      ])
        assert.equal((await call(0, 'GET', '/v1/runtimes', token)).status, 401)
    })

    it('lets nobody in while its keys cannot be had, and holds up nobody else', async () => {
      answering = 'silence'
      // What is known of issuers' keys is forgotten when one of them changes.
      const added = await call(0, 'POST', '/v1/tenants/acme/issuers', admin, {
        ...{ issuer: 'https://second.example', jwksUrl: 'https://second.example/jwks', audience: 'a' },
        ...{ algorithms: ['ES256'], claims: { scopes: ['runtimes:read'] } },
      })
      assert.equal(added.status, 201, JSON.stringify(added.body))
      assert.equal((await call(0, 'DELETE', `/v1/tenants/acme/issuers/${added.body.id}`, admin)).status, 204)
      const token = await sign({ jti: 'later' })
      const [theirs, ours] = await Promise.all([
        eventually(async () => {
          const answer = await call(0, 'GET', '/v1/runtimes', token)
          assert.equal(answer.status, 503)
          return answer
        }, 10_000),
        call(0, 'GET', '/v1/runtimes', admin),
      ])
      assert.equal(theirs.body.code, 'issuer-unavailable')
      assert.equal(ours.status, 200)
      answering = 'keys'
    })

    it('is not believed any more once it is distrusted', async () => {
      const { body } = await call(0, 'GET', '/v1/tenants/acme/issuers', admin)
      const token = await sign({ jti: 'last' })
      await eventually(async () => assert.equal((await call(1, 'GET', '/v1/runtimes', token)).status, 200), 40_000)
      const dora = await running('acme', 'dora')
      const theirs = await sign({ jti: 'dora', email: 'dora' })
      const ours = await mint({ scopes: ['runtimes:connect'], tenant: 'acme' })
      const view = (n: number, headers: Record<string, string>, query = '') =>
        fetch(`${gateways[n]?.url}/view/${dora.ownerHash}/vnc.html${query}`, { headers, redirect: 'manual' })
      const cookieFor = async (bearer: string) => {
        const url = `${gateways[0]?.url}/view/${dora.ownerHash}/session`
        const answer = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${bearer}` } })
        assert.equal(answer.status, 204)
        return answer.headers.getSetCookie()[0]?.split(';', 1)[0] ?? ''
      }
      const ticketOf = async () => {
        const { body } = await call(0, 'POST', `/v1/runtimes/${dora.id}/tickets`, theirs, { access: 'view' })
        return `?ticket=${new URL(body.url).searchParams.get('ticket')}`
      }
      const spent = await view(1, {}, await ticketOf())
      assert.equal(spent.status, 302)
      const cookies = [await cookieFor(theirs), spent.headers.getSetCookie()[0]?.split(';', 1)[0] ?? '']
      const unspent = await ticketOf()
      const [stays, kept] = [await openSocket(1, ours.token, dora.ownerHash), await cookieFor(ours.token)]
      const sockets = await Promise.all([0, 1].map(n => openSocket(n, theirs, dora.ownerHash)))
      for (const cookie of cookies) assert.equal((await view(1, { cookie })).status, 200)
      assert.equal((await call(0, 'DELETE', `/v1/tenants/acme/issuers/${body.items[0].id}`, admin)).status, 204)
      await eventually(async () => assert.equal((await call(1, 'GET', '/v1/runtimes', token)).status, 401), known)
      for (const socket of sockets) assert((await socket.closed()) < known)
      for (const n of [0, 1])
        for (const cookie of cookies)
          await eventually(async () => assert.equal((await view(n, { cookie })).status, 401), known)
      assert.equal((await view(1, {}, unspent)).status, 401)
      // Trusted anew, its tokens are good again; what was opened before is not.
      await trust()
      await eventually(async () => assert.equal((await call(1, 'GET', '/v1/runtimes', token)).status, 200), 6000)
      for (const cookie of cookies) assert.equal((await view(1, { cookie })).status, 401)
      assert.equal((await view(1, { cookie: kept })).status, 200)
      assert(stays.isOpen())
      stays.end()
    })
  })

  it('a tenant that creates too many in a minute is told when to go on, and by how many gateways does not matter', async () => {
    const slug = 'busy'
    await call(0, 'POST', '/v1/tenants', admin, { slug, createsPerMinute: 5 })
    const { token } = await mint({ scopes: ['runtimes:write'], tenant: slug })
    const ask = (n: number) =>
      fetch(`${gateways[n % 2]?.url}/v1/runtimes`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ mode: 'docker-per-principal', userId: `u${n}`, wait: 0 }),
      })
    // The minute is the database's: away from its end, so that all fall into one.
    const [{ left } = { left: 60 }] = await database.db.execute<{ left: number }>(
      'select 60 - extract(second from now()) as left',
    )
    if (left < 5) await delay(left * 1000)
    const answers = await Promise.all(Array.from({ length: 9 }, (_, n) => ask(n)))
    const refused = answers.filter(({ status }) => status === 429)
    assert.deepEqual([answers.filter(({ status }) => status === 202).length, refused.length], [5, 4])
    for (const { headers } of refused) {
      assert.equal(headers.get('ratelimit-limit'), '5')
      assert.equal(headers.get('ratelimit-remaining'), '0')
      assert.equal(headers.get('retry-after'), headers.get('ratelimit-reset'))
    }
    assert(answers.some(({ status, headers }) => status === 202 && headers.get('ratelimit-remaining') === '0'))
    // An owner who has a runtime creates none.
    const known = answers.findIndex(({ status }) => status === 202)
    assert.notEqual((await ask(known)).status, 429)
  })

  it('what was done is in the audit of its tenant, without any secret', async () => {
    const { id, token } = await mint({ scopes: ['runtimes:read', 'tokens:write'], tenant: 'acme', subject: 'auditor' })
    await call(0, 'DELETE', '/v1/runtimes/rt_nothing', token)
    const found = await eventually(async () => {
      const { body } = await call(1, 'GET', '/v1/audit?subject=auditor', token)
      assert.equal(body.items.length, 1)
      return body.items[0]
    })
    assert.deepEqual(
      [found.action, found.target, found.status, found.code, found.tokenId, found.address],
      ['DELETE /v1/runtimes/:id', '/v1/runtimes/rt_nothing', 403, 'insufficient-scope', id, '127.0.0.1'],
    )
    const all = JSON.stringify((await call(0, 'GET', '/v1/audit?tenant=default&limit=200', admin)).body)
    assert(all.includes('open cdp socket') && all.includes('POST /v1/tokens'))
    assert(!all.includes(token) && !all.includes(admin))
    assert.equal((await call(0, 'GET', '/v1/audit?tenant=default', token)).status, 403)
  })

  it('a tenant at its limit is told so, however many ask at once', async () => {
    const slug = 'small'
    assert.equal((await call(0, 'POST', '/v1/tenants', admin, { slug, maxRuntimes: 3 })).status, 201)
    assert.equal((await call(0, 'POST', '/v1/tenants', admin, { slug })).body.code, 'tenant-exists')
    await database.db.execute(`update hosts set last_seen_at = now()`)
    const rows = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        claimOwner(
          database.db,
          wanted(`o${n}`, { tenant: slug, ownerHash: ownerHashOf(slug, 'shared', `o${n}`) }),
          600_000,
        ),
      ),
    )
    const started = await Promise.all(rows.map(claimed => claimed && startOn(database.db, claimed.row, 'h1', 600_000)))
    assert.equal(started.filter(result => typeof result === 'object').length, 3)
    assert.equal(started.filter(result => result === 'over-quota').length, 9)
    const { body } = await call(1, 'GET', `/v1/tenants/${slug}`, admin)
    assert.equal(body.used.runtimes, 3)
    const theirs = await mint({ scopes: ['runtimes:write'] as Scope[], tenant: slug })
    const refused = await call(1, 'POST', '/v1/runtimes', theirs.token, { mode: 'docker-per-principal', userId: 'x' })
    assert.deepEqual([refused.status, refused.body.code], [429, 'quota-exceeded'])
  })

  describe('a host that is removed', () => {
    const heartbeatOf = async (id: string, privateKey: CryptoKey, n = 0) => {
      const token = await new SignJWT()
        .setProtectedHeader({ alg: 'EdDSA' })
        .setIssuer(id)
        .setAudience('porthole-gateway')
        .setIssuedAt()
        .setExpirationTime('60s')
        .sign(privateKey)
      const capacity = { memoryBytes: 1e12, cpuMillis: 100_000, slots: 10, gpus: 0 }
      const said = { capacity, load: 0, engineVersion: '1', images: [], labels: {}, runtimes: [] }
      return (await call(n, 'POST', `/v1/hosts/${id}/heartbeat`, token, said)).status
    }

    it('says first what would be lost; forced, it is cut off at once on every gateway', async () => {
      const keys = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
      const { x } = await exportJWK(keys.publicKey)
      const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
      await addHost(database.db, 'h2', 10, { url, publicKey: x ?? '', memoryBytes: 1e12, cpuMillis: 100_000 })
      assert.equal(await heartbeatOf('h2', keys.privateKey), 200)
      const row = await running('default', 'rhea', 'h2')
      const { token } = await mint({ scopes: ['runtimes:connect'], subject: 's' })
      const sockets = await Promise.all([0, 1].map(n => openSocket(n, token, row.ownerHash)))

      const refused = await call(0, 'DELETE', '/v1/hosts/h2', admin)
      assert.deepEqual(
        [refused.status, refused.body.code, refused.body.runtimes, refused.body.profiles],
        [409, 'host-in-use', 1, 1],
      )
      assert.equal(await heartbeatOf('h2', keys.privateKey), 200)

      const usedBefore = (await call(0, 'GET', '/v1/tenants/default', admin)).body.used.runtimes
      assert.equal((await call(0, 'DELETE', '/v1/hosts/h2?force=true', admin)).status, 204)
      assert.equal(await heartbeatOf('h2', keys.privateKey, 1), 401)
      for (const { closed } of sockets) assert((await closed()) < known)
      const now = await call(1, 'GET', `/v1/runtimes/${row.id}`, admin)
      assert.deepEqual([now.body.state, now.body.error.code], ['lost', 'host-removed'])
      assert.equal((await call(0, 'GET', '/v1/tenants/default', admin)).body.used.runtimes, usedBefore - 1)
      const listed = await call(1, 'GET', '/v1/hosts', admin)
      assert(!listed.body.items.some(({ id }: { id: string }) => id === 'h2'))
      assert.equal((await call(1, 'DELETE', '/v1/hosts/h2?force=true', admin)).status, 404)
    })

    it('with nothing on it goes without force', async () => {
      await addHost(database.db, 'h3', 1)
      assert.equal((await call(0, 'DELETE', '/v1/hosts/h3', admin)).status, 204)
    })
  })

  it('a tenant that asks for too much at once is told so, and is answered again afterwards', async () => {
    // What is listed here is nothing that a gateway looks at by itself, or it would take the database for away.
    const holder = connect(fresh.url, { max: 1 })
    const locked = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const holding = holder.db.transaction(async tx => {
      await tx.execute('lock table audit in access exclusive mode')
      locked.resolve()
      await release.promise
    })
    await locked.promise
    let refused = 0
    const crowd = Array.from({ length: 100 }, async () => {
      const answer = await call(0, 'GET', '/v1/audit', admin)
      if (answer.status === 429) refused += 1
      return answer
    })
    await eventually(() => assert.equal(refused, 36))
    release.resolve()
    await holding
    await holder.close()
    const answers = await Promise.all(crowd)
    assert.equal(answers.filter(({ status }) => status === 200).length, 64)
    assert.equal((await call(0, 'GET', '/v1/audit', admin)).status, 200)
  })

  it('what a tenant wants at its cap is set and shown', async () => {
    const slug = 'lined'
    assert.equal((await call(0, 'POST', '/v1/tenants', admin, { slug, atCap: 'queue', queueLimit: 3 })).status, 201)
    const changed = await call(1, 'PATCH', `/v1/tenants/${slug}`, admin, { atCap: 'pause-oldest' })
    assert.deepEqual([changed.body.atCap, changed.body.queueLimit], ['pause-oldest', 3])
    assert.equal((await call(0, 'PATCH', `/v1/tenants/${slug}`, admin, { atCap: 'drop' })).status, 400)
  })
})
