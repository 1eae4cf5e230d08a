import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import tls from 'node:tls'
import { Hono } from 'hono'
import { endsSoon, makeCertificate, readCertificate, saveCertificate } from './certificate.ts'
import { createAgentServer, listen, serveWith } from './server.ts'

const day = 24 * 3600 * 1000
const now = Date.now()
const names = { hostName: 'box', host: '127.0.0.1' }

const folder = async (t: TestContext) => {
  const path = await mkdtemp(join(tmpdir(), 'porthole-agent-'))
  t.after(() => rm(path, { recursive: true }))
  return path
}

test('a certificate is made once for ten years, and its key kept from other users', async t => {
  const dir = join(await folder(t), 'deep')
  assert.deepEqual(await readCertificate(dir, names.host, now), { why: 'there was none' })
  const made = await makeCertificate(names, now)
  await saveCertificate(made, dir)
  assert.deepEqual((await readCertificate(dir, names.host, now)).certificate, made)
  assert.equal((await stat(join(dir, 'tls.pem'))).mode & 0o777, 0o600)
  const x509 = new X509Certificate(made.cert)
  assert.equal(x509.subject, 'CN=box')
  assert.equal(x509.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  assert.equal(endsSoon(made, now + 9 * 365 * day), false)
  assert.equal(endsSoon(made, made.endsAt.getTime() - 29 * day), true)
})

test('a certificate names what the gateway calls, and fits nothing else', async t => {
  const dir = await folder(t)
  for (const host of ['10.0.0.5', 'fd00::5', 'box.example.com', 'localhost']) {
    await saveCertificate(await makeCertificate({ hostName: 'box', host }, now), dir)
    assert.ok((await readCertificate(dir, host, now)).certificate, host)
    for (const other of ['10.0.0.6', 'fd00::6', 'other.example.com'])
      assert.match((await readCertificate(dir, other, now)).why ?? '', /for another address/, other)
  }
})

test('one that is over, not begun, damaged or without its key is not used', async t => {
  const dir = await folder(t)
  const made = await makeCertificate(names, now)
  const why = async (at = now) => (await readCertificate(dir, names.host, at)).why ?? 'it is used'
  await saveCertificate(made, dir)
  assert.match(await why(made.endsAt.getTime() + 1), /not valid at this time/)
  assert.match(await why(now - 2 * day), /not valid at this time/)
  await saveCertificate({ ...made, key: (await makeCertificate(names, now)).key }, dir)
  assert.match(await why(), /tls\.pem is not what an agent writes/)
  await writeFile(join(dir, 'tls.pem'), made.cert)
  assert.match(await why(), /tls\.pem is not what an agent writes/)
})

test('an agent serves TLS 1.3 and nothing older, and changes its certificate while it runs', async t => {
  const [first, second] = [await makeCertificate(names, now), await makeCertificate(names, now)]
  const app = new Hono().get('/healthz', c => c.text('ok'))
  const relay = { deferContinue: () => {} }
  const server = createAgentServer({ app, edge: () => undefined, relay, certificate: first })
  const port = await listen(server, names.host, 0)
  t.after(() => server.close().closeAllConnections())
  const get = async (ca: string, options: tls.ConnectionOptions = {}) => {
    const socket = tls.connect({ host: names.host, port, ca, ...options })
    await once(socket, 'secureConnect')
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    return { protocol: socket.getProtocol(), text: (await socket.setEncoding('utf8').toArray()).join('') }
  }
  const { protocol, text } = await get(first.cert)
  assert.equal(protocol, 'TLSv1.3')
  assert.match(text, /^HTTP\/1\.1 200 .*ok$/s)
  await assert.rejects(get(first.cert, { maxVersion: 'TLSv1.2' }), /protocol version/)
  serveWith(server, second)
  assert.match((await get(second.cert)).text, /^HTTP\/1\.1 200 /)
  await assert.rejects(get(first.cert), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  await assert.rejects(get(second.cert, { maxVersion: 'TLSv1.2' }), /protocol version/)
})
