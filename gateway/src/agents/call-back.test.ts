import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { challengeAudience, type PublicKey } from '@porthole/protocol'
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { otherCertificate, otherKey, testCertificate, testKey } from '../../../agent/protocol/relay/test-certificate.ts'
import { Problem } from '../problem.ts'
import { advertisedBy } from './advertised.ts'
import { callBack } from './call-back.ts'
import { createAgentConnections } from './connections.ts'

const fingerprint = (pem: string) => createHash('sha256').update(new X509Certificate(pem).raw).digest('base64url')

const hostKey = async () => {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
  return { privateKey, publicKey: (await exportJWK(publicKey)) as PublicKey }
}

/** @param ahead seconds by which the host's clock is wrong */
const proofOf = (key: CryptoKey, nonce: string, cert?: string, ahead = 0) => {
  const at = Math.floor(Date.now() / 1000) + ahead
  return new SignJWT({ nonce, ...(cert && { cert }) })
    .setProtectedHeader({ alg: 'EdDSA' })
    .setAudience(challengeAudience)
    .setIssuedAt(at)
    .setExpirationTime(at + 60)
    .sign(key)
}

/** Somebody who answers challenges over TLS. */
const answering = async (t: TestContext, pair: https.ServerOptions, prove: (nonce: string) => Promise<string>) => {
  const asked: string[] = []
  const server = https.createServer(pair, async (req, res) => {
    const text = (await req.setEncoding('utf8').toArray()).join('')
    asked.push(text)
    res.end(JSON.stringify({ proof: await prove(JSON.parse(text).nonce) }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connections = createAgentConnections()
  t.after(async () => {
    await connections.close()
    server.close().closeAllConnections()
  })
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, connections }
}

const refusedWith = (pattern: RegExp) => (error: unknown) => {
  assert(error instanceof Problem)
  assert.equal(error.code, 'join-refused')
  assert.match(error.message, pattern)
  return true
}

const holder = { key: testKey, cert: testCertificate }

test('a host that serves with its certificate, and says so with its key, is admitted', async t => {
  const { privateKey, publicKey } = await hostKey()
  const { url, connections } = await answering(t, holder, nonce =>
    proofOf(privateKey, nonce, fingerprint(testCertificate)),
  )
  await callBack(connections, { url, certificate: testCertificate }, publicKey)
})

test('a host whose clock is an hour off is admitted, and the proof of another challenge is not', async t => {
  const { privateKey, publicKey } = await hostKey()
  const cert = fingerprint(testCertificate)
  for (const ahead of [3600, -3600]) {
    const { url, connections } = await answering(t, holder, nonce => proofOf(privateKey, nonce, cert, ahead))
    await callBack(connections, { url, certificate: testCertificate }, publicKey)
  }
  const { url, connections } = await answering(t, holder, () => proofOf(privateKey, 'an earlier one', cert))
  const joining = callBack(connections, { url, certificate: testCertificate }, publicKey)
  await assert.rejects(joining, refusedWith(/does not have its key/))
})

test('somebody at its address with another certificate is not even asked', async t => {
  const { privateKey, publicKey } = await hostKey()
  const prove = (nonce: string) => proofOf(privateKey, nonce, fingerprint(testCertificate))
  const { url, asked, connections } = await answering(t, { key: otherKey, cert: otherCertificate }, prove)
  const joining = callBack(connections, { url, certificate: testCertificate }, publicKey)
  await assert.rejects(joining, refusedWith(/another certificate than the host sent/))
  assert.deepEqual(asked, [])
})

// He has put his certificate into the join, and passes the challenge on to the host, which knows nothing of his.
for (const [what, cert] of [
  ["the host's own certificate", fingerprint(otherCertificate)],
  ['no certificate', undefined],
] as const)
  test(`somebody in the middle is refused, because the host's proof names ${what}`, async t => {
    const { privateKey, publicKey } = await hostKey()
    const { url, asked, connections } = await answering(t, holder, nonce => proofOf(privateKey, nonce, cert))
    const joining = callBack(connections, { url, certificate: testCertificate }, publicKey)
    await assert.rejects(joining, refusedWith(/does not have its key and certificate/))
    assert.equal(asked.length, 1)
  })

test('nor can a certificate be taken out of the join: a CA must vouch for what is there then', async t => {
  const { privateKey, publicKey } = await hostKey()
  const prove = (nonce: string) => proofOf(privateKey, nonce, fingerprint(testCertificate))
  const { url, asked, connections } = await answering(t, holder, prove)
  const joining = callBack(connections, { url, certificate: null }, publicKey)
  await assert.rejects(joining, refusedWith(/no CA that this gateway trusts .*SELF_SIGNED_CERT.*NODE_EXTRA_CA_CERTS/))
  assert.deepEqual(asked, [])
})

test('a proof of a certificate that the join does not have is refused, whoever serves TLS', async t => {
  const { privateKey, publicKey } = await hostKey()
  const prove = (nonce: string) => proofOf(privateKey, nonce, fingerprint(testCertificate))
  const { url, connections } = await answering(t, holder, prove)
  // As if a CA had vouched for it.
  const trusting = { others: () => connections.others({ url, certificate: testCertificate }) }
  const joining = callBack(trusting, { url, certificate: null }, publicKey)
  await assert.rejects(joining, refusedWith(/does not have its key and certificate/))
})

test('plain HTTP is for the loopback, unless the operator allows more', () => {
  for (const url of ['http://127.0.0.1:4748', 'http://127.8.9.1', 'http://[::1]:1', 'http://localhost:4748/'])
    assert.deepEqual(advertisedBy({ url }, false), { url: url.replace(/\/$/, ''), certificate: null })
  for (const url of [
    'http://10.0.0.5:4748',
    'http://[::2]:1',
    'http://localhost.example.com',
    'http://127.0.0.1.example',
  ])
    assert.throws(
      () => advertisedBy({ url }, false),
      refusedWith(/plain HTTP.*Set PORTHOLE_TLS=auto there, or PORTHOLE_ALLOW_PLAIN_AGENTS=true here/),
    )
  assert.deepEqual(advertisedBy({ url: 'http://10.0.0.5:4748' }, true), {
    url: 'http://10.0.0.5:4748',
    certificate: null,
  })
})

test('a certificate is for https, and is kept in one form', () => {
  const url = 'https://10.0.0.5:4748'
  const spaced = `${testCertificate.replaceAll('\n', '\r\n')}\n\n`
  assert.deepEqual(advertisedBy({ url, certificate: spaced }, false), { url, certificate: testCertificate })
  assert.deepEqual(advertisedBy({ url }, false), { url, certificate: null })
  const bad = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
  assert.throws(() => advertisedBy({ url, certificate: bad }, false), refusedWith(/can't be read/))
  const plain = { url: 'http://127.0.0.1:1', certificate: testCertificate }
  assert.throws(() => advertisedBy(plain, true), refusedWith(/must begin with https/))
})
