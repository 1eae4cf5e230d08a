import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { challengeAudience, joinRequest } from '@porthole/protocol'
import { importJWK, jwtVerify } from 'jose'
import { loadIdentity, saveMembership } from './identity.ts'
import { createChallenges, JoinRefused, joinGateway } from './joining.ts'
import { silent } from './testing/orders.ts'

const folder = async (t: TestContext) => {
  const path = await mkdtemp(join(tmpdir(), 'porthole-agent-'))
  t.after(() => rm(path, { recursive: true }))
  return path
}

/** A gateway that answers each join with the next of `answers`, the last one again and again. */
const gateway = async (t: TestContext, answers: { status: number; body: unknown }[]) => {
  const asked: unknown[] = []
  const server = http.createServer(async (req, res) => {
    asked.push(JSON.parse((await req.setEncoding('utf8').toArray()).join('')))
    const { status, body } = answers[Math.min(asked.length, answers.length) - 1] ?? { status: 500, body: {} }
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const requestOf = async (t: TestContext) => ({
  token: 'join-token',
  name: 'box',
  url: 'http://127.0.0.1:4748',
  publicKey: (await loadIdentity(await folder(t))).publicKey,
})

test("a host's identity is made once and kept from other users", async t => {
  const dir = join(await folder(t), 'deep', 'data')
  const first = await loadIdentity(dir)
  const second = await loadIdentity(dir)
  assert.deepEqual(first.publicKey, second.publicKey)
  assert.equal((await stat(join(dir, 'host.json'))).mode & 0o777, 0o600)
  const membership = { hostId: 'host_1', gatewayUrl: 'http://g', agentUrl: 'http://a' }
  await saveMembership(dir, membership)
  const third = await loadIdentity(dir)
  assert.deepEqual(third.membership, membership)
  assert.deepEqual(third.publicKey, first.publicKey)
  assert.equal((await stat(join(dir, 'host.json'))).mode & 0o777, 0o600)
})

test('a damaged identity is never replaced by a new one', async t => {
  const dir = await folder(t)
  await writeFile(join(dir, 'host.json'), '{"key":')
  await assert.rejects(loadIdentity(dir), /host\.json is not what an agent writes/)
  assert.equal(await readFile(join(dir, 'host.json'), 'utf8'), '{"key":')
})

test('a challenge is answered with the key, and only while joining', async t => {
  const { privateKey, publicKey } = await loadIdentity(await folder(t))
  const challenges = createChallenges(privateKey)
  assert.equal(await challenges.prove('nonce'), undefined)
  const proof = (await challenges.during(() => challenges.prove('nonce'))) ?? ''
  const { payload } = await jwtVerify(proof, await importJWK(publicKey, 'EdDSA'), { audience: challengeAudience })
  assert.equal(payload.nonce, 'nonce')
  assert.ok((payload.exp ?? 0) - (payload.iat ?? 0) <= 60)
  await assert.rejects(challenges.during(() => Promise.reject(new Error('x'))))
  assert.equal(await challenges.prove('nonce'), undefined)
})

test('joining is tried again while the gateway is not up', async t => {
  const { url, asked } = await gateway(t, [
    { status: 503, body: {} },
    { status: 200, body: { hostId: 'host_1' } },
  ])
  const request = await requestOf(t)
  let calls = 0
  const flaky: typeof fetch = (...args) =>
    calls++ === 0 ? Promise.reject(new TypeError('fetch failed')) : fetch(...args)
  const hostId = await joinGateway(url, request, { log: silent, signal: t.signal, fetch: flaky })
  assert.equal(hostId, 'host_1')
  assert.equal(asked.length, 2)
  assert.deepEqual(joinRequest.parse(asked[1]), request)
})

test("a refused join ends at once, with the gateway's reason and without the token", async t => {
  const { url, asked } = await gateway(t, [{ status: 403, body: { title: 'x', detail: 'the join token has expired' } }])
  await assert.rejects(joinGateway(url, await requestOf(t), { log: silent, signal: t.signal }), (error: unknown) => {
    assert.ok(error instanceof JoinRefused)
    assert.match(error.message, /the join token has expired/)
    assert.doesNotMatch(error.message, /join-token/)
    return true
  })
  assert.equal(asked.length, 1)
})
