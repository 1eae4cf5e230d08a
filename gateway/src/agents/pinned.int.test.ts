import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import {
  addJoinToken,
  claimOwner,
  connect,
  type Database,
  findHost,
  putTenant,
  type RuntimeRow,
  startOn,
  toRunning,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { challengeAudience } from '@porthole/protocol'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { otherCertificate, otherKey, testCertificate, testKey } from '../../../agent/protocol/relay/test-certificate.ts'
import { freshDatabase } from '../../../test/kit/database.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { parseConfig } from '../config.ts'
import { ownerHashOf } from '../identity/owner.ts'
import { type Gateway, serve } from '../server.ts'
import { mintToken, scopes } from '../tokens/caller.ts'
import { createIssuer } from '../tokens/issuer.ts'
import { createSeal } from '../tokens/seal.ts'

const secret = 'a secret of the tests, long enough'
const first = { key: testKey, cert: testCertificate }
const second = { key: otherKey, cert: otherCertificate }
const fingerprint = (pem: string) => createHash('sha256').update(new X509Certificate(pem).raw).digest('base64url')

/** An agent as far as the gateway sees it: proves what it holds, and answers the edge. */
const startUpstream = async () => {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
  const seen = { paths: [] as string[], bytes: 0, sockets: new Set<Duplex>() }
  const holds = { cert: testCertificate }
  const server = https.createServer(first, async (req, res) => {
    seen.paths.push(req.url ?? '')
    const text = (await req.setEncoding('utf8').toArray()).join('')
    if (req.url !== '/v1/challenge') return res.end('{"served":true}')
    res.end(JSON.stringify({ proof: await prove(privateKey, JSON.parse(text).nonce, holds.cert) }))
  })
  server.on('upgrade', (req, socket) => {
    seen.paths.push(req.url ?? '')
    socket.on('error', () => {})
    socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello')
  })
  server.on('connection', socket => seen.sockets.add(socket))
  server.on('secureConnection', socket => socket.on('data', (data: Buffer) => (seen.bytes += data.length)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  /** From now on it serves, and says that it holds, another certificate. */
  const turnTo = (pair: typeof first) => {
    server.setSecureContext(pair)
    holds.cert = pair.cert
  }
  const { kty, crv, x } = await exportJWK(publicKey)
  return { server, url: `https://127.0.0.1:${port}`, publicKey: { kty, crv, x } as JWK, seen, turnTo }
}

const prove = (key: CryptoKey, nonce: string, cert: string) =>
  new SignJWT({ nonce, cert: fingerprint(cert) })
    .setProtectedHeader({ alg: 'EdDSA' })
    .setAudience(challengeAudience)
    .setIssuedAt()
    .setExpirationTime('60s')
    .sign(key)

describe('a host with a certificate', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let gateway: Gateway
  let upstream: Awaited<ReturnType<typeof startUpstream>>
  let alice: RuntimeRow
  let token: string

  before(async () => {
    fresh = await freshDatabase()
    upstream = await startUpstream()
    const config = parseConfig({ DATABASE_URL: fresh.url, PORTHOLE_SECRET: secret, PORT: '0' })
    gateway = await serve(config, testLog('gateway'))
    database = connect(fresh.url)
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    const issuer = await createIssuer(database.db, createSeal(secret), Date.now)
    token = await mintToken(issuer, { tenant: 'default', subject: 't', scopes, jti: 'j' }, 60)
    await addHost(database.db, 'h1', 10, {
      url: upstream.url,
      publicKey: String(upstream.publicKey.x),
      certificate: testCertificate,
    })
    const ownerHash = ownerHashOf('default', 'docker-per-principal', 'alice')
    const claimed = await claimOwner(database.db, wanted('alice', { ownerHash }), 60_000)
    const started = claimed && (await startOn(database.db, claimed.row, 'h1', 60_000))
    assert(typeof started === 'object')
    const running = await toRunning(database.db, started)
    assert(running)
    alice = running
  })
  after(async () => {
    await gateway.close()
    await database.close()
    upstream.server.closeAllConnections()
    upstream.server.close()
    await fresh.drop()
  })

  const authorization = () => ({ authorization: `Bearer ${token}` })
  const rpc = (body?: string) =>
    fetch(`${gateway.url}/rpc/${alice.ownerHash}/run`, {
      method: 'POST',
      headers: authorization(),
      ...(body === undefined ? {} : { body }),
    })
  const discovery = () => fetch(`${gateway.url}/cdp/${alice.ownerHash}/json/version`, { headers: authorization() })
  const upgrade = async () => {
    const socket = net.connect(Number(new URL(gateway.url).port), '127.0.0.1')
    socket.write(
      `GET /cdp/${alice.ownerHash} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    )
    return (await socket.setEncoding('latin1').toArray()).join('')
  }
  const join = async (more: object) => {
    const joinToken = `jt_${crypto.randomUUID()}`
    await addJoinToken(database.db, joinToken, 'operator', 60)
    const answer = await fetch(`${gateway.url}/v1/hosts/join`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        ...{ token: joinToken, name: 'box', url: upstream.url, publicKey: upstream.publicKey },
        ...more,
      }),
    })
    return { status: answer.status, body: await answer.json() }
  }
  const works = async () => {
    assert.equal((await rpc('{}')).status, 200)
    assert.equal((await discovery()).status, 200)
    const text = await upgrade()
    assert.match(text, /^HTTP\/1\.1 101 /)
    assert(text.endsWith('hello'), text)
  }

  it('is reached over TLS: requests, discovery and sockets', works)

  it('is out of reach when somebody else answers in its name, and he learns nothing', async () => {
    upstream.turnTo(second)
    upstream.server.closeAllConnections()
    Object.assign(upstream.seen, { paths: [], bytes: 0 })
    for (const answer of [await rpc('{}'), await discovery()]) {
      assert.equal(answer.status, 503)
      assert.equal((await answer.json()).code, 'host-unreachable')
    }
    const text = await upgrade()
    assert.match(text, /^HTTP\/1\.1 503 .*"code":"host-unreachable"/s)
    await Promise.all([...upstream.seen.sockets].map(socket => socket.closed || once(socket, 'close')))
    assert.deepEqual(upstream.seen.paths, [])
    assert.equal(upstream.seen.bytes, 0)
  })

  it('is reached again when it has joined with its new certificate', async () => {
    const { status, body } = await join({ certificate: otherCertificate })
    assert.deepEqual({ status, body }, { status: 200, body: { hostId: 'h1' } })
    assert.equal((await findHost(database.db, 'h1'))?.certificate, otherCertificate)
    await works()
    upstream.turnTo(first)
    upstream.server.closeAllConnections()
    assert.equal((await rpc('{}')).status, 503)
  })

  it('is not admitted with a certificate that is not at its address, and keeps the one it had', async () => {
    const { status, body } = await join({ certificate: otherCertificate })
    assert.equal(status, 403)
    assert.match(body.detail, /another certificate than the host sent/)
    const own = await join({})
    assert.equal(own.status, 403)
    assert.match(own.body.detail, /no CA that this gateway trusts/)
    assert.equal((await findHost(database.db, 'h1'))?.certificate, otherCertificate)
  })

  it('may not be plain instead, but on the loopback, and a refusal does not use its token up', async () => {
    const again = `jt_${crypto.randomUUID()}`
    await addJoinToken(database.db, again, 'operator', 60)
    const plain = await join({ url: 'http://192.0.2.1:4748', token: again })
    assert.equal(plain.status, 403)
    assert.match(plain.body.detail, /plain HTTP.*PORTHOLE_TLS=auto/)
    const loopback = await join({ url: 'http://127.0.0.1:1', token: again })
    assert.match(loopback.body.detail, /nobody answers/)
    const long = await join({
      certificate: `-----BEGIN CERTIFICATE-----\n${'A'.repeat(9000)}\n-----END CERTIFICATE-----`,
    })
    assert.equal(long.status, 400)
  })
})
