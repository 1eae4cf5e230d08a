import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as pathOf } from 'node:path'
import { type TestContext, test } from 'node:test'
import { challengeAudience, type JoinRequest, joinRequest } from '@porthole/protocol'
import { importJWK, jwtVerify } from 'jose'
import { makeCertificate, readCertificate, saveCertificate } from './certificate.ts'
import { ConfigError } from './config.ts'
import { loadIdentity } from './identity.ts'
import { createChallenges, JoinRefused } from './joining.ts'
import { type Certificates, chooseCertificates, join } from './membership.ts'
import { silent } from './testing/orders.ts'

const year = 365 * 24 * 3600 * 1000
const host = '127.0.0.1'
const url = `https://${host}:4748`

/** A host, started again and again on one data directory, and a gateway that says what the test wants. */
const bench = async (t: TestContext) => {
  const dataDir = await mkdtemp(pathOf(tmpdir(), 'porthole-agent-'))
  t.after(() => rm(dataDir, { recursive: true }))
  const asked: JoinRequest[] = []
  const gateway = { status: 200 }
  const send: typeof fetch = async (_, init) => {
    asked.push(joinRequest.parse(JSON.parse(String(init?.body))))
    return Response.json({ hostId: 'host_1', detail: 'no' }, { status: gateway.status })
  }
  const start = async (token: string | undefined, at = Date.now()) => {
    const places = { gatewayUrl: 'http://127.0.0.1:4747', dataDir, hostName: 'box' }
    const config = { ...places, ...(token === undefined ? {} : { joinToken: token }) }
    const identity = await loadIdentity(dataDir)
    const certificates: Certificates = await chooseCertificates(config, host, silent, at)
    const challenges = createChallenges(identity.privateKey)
    const joined = await join({
      ...{ config, identity, certificates, challenges, url, fetch: send },
      ...{ log: silent, signal: t.signal },
    })
    return { ...joined, certificates }
  }
  const kept = async () => (await readCertificate(dataDir, host, Date.now())).certificate
  return { dataDir, asked, gateway, start, kept }
}

test('a host joins with its certificate, and goes on with it without a token', async t => {
  const { asked, start, kept } = await bench(t)
  const first = await start('token')
  assert.equal(asked[0]?.certificate, first.certificate?.cert)
  const second = await start(undefined)
  assert.equal(second.hostId, 'host_1')
  assert.deepEqual(second.certificate, first.certificate)
  assert.deepEqual(await kept(), first.certificate)
  assert.equal(asked.length, 1)
})

test('with another certificate than it joined with, a host has to join anew, and is told so', async t => {
  const { dataDir, start } = await bench(t)
  await start('token')
  await saveCertificate(await makeCertificate({ hostName: 'box', host }, Date.now()), dataDir)
  await assert.rejects(start(undefined), (error: unknown) => {
    assert(error instanceof ConfigError)
    assert.match(error.message, /PORTHOLE_JOIN_TOKEN is not set.*another TLS certificate.*join anew/)
    return true
  })
})

test('a certificate near its end is replaced with the next join, and not before', async t => {
  const { dataDir, asked, gateway, start, kept } = await bench(t)
  const old = await makeCertificate({ hostName: 'box', host }, Date.now() - 9.95 * year)
  await saveCertificate(old, dataDir)
  await start('token', Date.now() - year)
  assert.equal(asked[0]?.certificate, old.cert)

  assert.deepEqual((await start(undefined)).certificate, old)
  gateway.status = 403
  const refused = await start('used up')
  assert.deepEqual(refused.certificate, old, 'it goes on as it was')
  assert.notEqual(asked[1]?.certificate, old.cert)
  assert.deepEqual(await kept(), old)

  gateway.status = 200
  const renewed = await start('token')
  assert.equal(asked[2]?.certificate, renewed.certificate?.cert)
  assert.deepEqual(await kept(), renewed.certificate)
  assert.notEqual(renewed.certificate?.cert, old.cert)
  assert.deepEqual((await start(undefined)).certificate, renewed.certificate)
})

test('a host that never joined has no earlier join to go on with', async t => {
  const { gateway, start } = await bench(t)
  gateway.status = 403
  await assert.rejects(start('token'), JoinRefused)
  await assert.rejects(start(undefined), /has not joined this gateway at this URL/)
})

test('the proof of a challenge covers the certificate, and without one is as it was', async t => {
  const { dataDir } = await bench(t)
  const { privateKey, publicKey } = await loadIdentity(dataDir)
  const claims = async (certificate?: string) => {
    const challenges = createChallenges(privateKey, certificate)
    const proof = (await challenges.during(() => challenges.prove('nonce'))) ?? ''
    const { payload } = await jwtVerify(proof, await importJWK(publicKey, 'EdDSA'), { audience: challengeAudience })
    return payload
  }
  assert.equal((await claims('print')).cert, 'print')
  assert.deepEqual(Object.keys(await claims()).toSorted(), ['aud', 'exp', 'iat', 'nonce'])
})
