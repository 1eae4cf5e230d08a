import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type net from 'node:net'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import tls from 'node:tls'
import { connector } from './connect.ts'
import { RelayFault } from './errors.ts'
import { createPeers } from './peers.ts'
import { createPin } from './pin.ts'
import { get, patience, RawUpstream, startChain, switching, upgrade, within } from './relay-kit.ts'
import {
  issuedCertificate,
  issuedKey,
  otherCertificate,
  otherKey,
  testCertificate,
  testKey,
} from './test-certificate.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const streamed = 'POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n'

/** A TLS server that counts what it is sent, and takes sessions of others with the same `ticketKeys`. */
const startServer = async (t: TestContext, options: tls.TlsOptions) => {
  const server = tls.createServer({ ...options, minVersion: 'TLSv1.3' })
  const handshakes = { begun: 0, resumed: 0, bytes: 0 }
  const sockets = new Set<net.Socket>()
  server.on('connection', socket => {
    handshakes.begun += 1
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.on('secureConnection', socket => {
    if (socket.isSessionReused()) handshakes.resumed += 1
    socket.on('error', () => {})
    socket.on('data', data => {
      handshakes.bytes += data.length
      socket.write(ok)
    })
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const port = (server.address() as AddressInfo).port
  return { port, origin: `https://127.0.0.1:${port}`, handshakes, sockets }
}

type Server = Awaited<ReturnType<typeof startServer>>

/** Once every connection that there was is closed: nothing more comes on them. */
const settled = async ({ sockets }: Server) => {
  await within(Promise.all([...sockets].map(socket => socket.closed || once(socket, 'close'))), 'the close')
}

describe('a pinned certificate', { concurrency: 4 }, () => {
  for (const [what, request, answer] of [
    ['a request', get(), ok],
    ['an upload', streamed, ok],
    ['an upgrade', upgrade(), `${switching}ok`],
  ] as const) {
    test(`lets ${what} through to its holder`, async t => {
      const upstream = await RawUpstream.start(t, true)
      const target = { certificate: testCertificate }
      const chain = await startChain(t, 1, { origin: upstream.origin, target, relay: { tls: () => undefined } })
      const client = (await chain.connect()).send(request)
      ;(await upstream.request()).send(answer)
      assert.match(await client.until('ok'), /^HTTP\/1\.1 (200|101) /)
    })

    for (const [who, pair] of [
      ['somebody else of the same name', { key: otherKey, cert: otherCertificate }],
      ['one whose certificate it has issued', { key: issuedKey, cert: issuedCertificate }],
    ] as const) {
      test(`keeps ${what} from ${who}`, async t => {
        const impostor = await startServer(t, pair)
        const target = { certificate: testCertificate }
        const chain = await startChain(t, 1, { origin: impostor.origin, target, relay: { tls: () => undefined } })
        const client = (await chain.connect()).send(request)
        assert.match(await client.until('"upstream-unverified"'), /^HTTP\/1\.1 503 /)
        assert.equal((await chain.result()).code, 'upstream-unverified')
        assert.equal(impostor.handshakes.begun, 1)
        await settled(impostor)
        assert.equal(impostor.handshakes.bytes, 0)
      })
    }

    test(`keeps ${what} from a server without TLS`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, 1, { origin: upstream.origin, target: { certificate: testCertificate } })
      const client = (await chain.connect()).send(request)
      assert.match(await client.until('"upstream-unverified"'), /^HTTP\/1\.1 503 /)
      const there = await upstream.accept()
      assert.equal(await there.untilOver(), '')
    })

    test(`keeps ${what} back when it can not be read`, async t => {
      const upstream = await RawUpstream.start(t, true)
      const chain = await startChain(t, 1, { origin: upstream.origin, target: { certificate: 'none' } })
      const client = (await chain.connect()).send(request)
      assert.match(await client.until('"upstream-unverified"'), /^HTTP\/1\.1 503 /)
      assert.equal(upstream.connections, 0)
    })
  }

  test('is not taken on trust from an earlier session, which Node calls authorized', async t => {
    // Two servers with each other's tickets: what was begun with one can be resumed with the other.
    const ticketKeys = randomBytes(48)
    const holder = await startServer(t, { key: testKey, cert: testCertificate, ticketKeys })
    const stranger = await startServer(t, { key: otherKey, cert: otherCertificate, ticketKeys })
    const begin = async (port: number, ca: string, session?: Buffer) => {
      const socket = tls.connect({ host: '127.0.0.1', port, ca, ...(session && { session }) })
      t.after(() => socket.destroy())
      await once(socket, 'secureConnect', { signal: AbortSignal.timeout(patience) })
      return socket
    }
    const begun = await begin(holder.port, testCertificate)
    const [session]: Buffer[] = await once(begun, 'session', { signal: AbortSignal.timeout(patience) })
    assert(session)
    const resumed = await begin(stranger.port, testCertificate, session)
    assert(resumed.authorized && resumed.isSessionReused(), 'without a check of our own it is taken')

    const connecting = new Promise((resolve, reject) => {
      const connect = connector({ timeoutMs: patience, tls: () => ({ session }), pin: createPin(testCertificate) })
      connect(new URL(stranger.origin), undefined, (error, socket) => (error ? reject(error) : resolve(socket)))
    })
    await assert.rejects(within(connecting, 'the refusal'), (error: unknown) => {
      return error instanceof RelayFault && error.code === 'upstream-unverified'
    })
    resumed.destroy()
    await settled(stranger)
    assert.equal(stranger.handshakes.bytes, 0)
  })

  test('that is another one than before takes no connection over from the one before', async t => {
    const server = await startServer(t, { key: testKey, cert: testCertificate })
    const target = { certificate: testCertificate }
    const chain = await startChain(t, 1, { origin: server.origin, target, relay: { tls: () => undefined } })
    const client = await chain.connect()
    for (const path of ['/1', '/2']) {
      client.forget()
      client.send(get(path))
      await client.until('ok')
    }
    assert.equal(server.handshakes.begun, 1)
    target.certificate = otherCertificate
    client.forget()
    client.send(get('/3'))
    assert.match(await client.until('"upstream-unverified"'), /^HTTP\/1\.1 503 /)
    await settled(server)
  })
})

describe('what is kept per peer', () => {
  const bench = (options: { most?: number; idleMs?: number; now?: () => number } = {}) => {
    const ended: string[] = []
    let made = 0
    const peers = createPeers(certificate => {
      made += 1
      const name = `${certificate}${made}`
      return {
        name,
        close: async () => ended.push(`close ${name}`),
        destroy: async () => ended.push(`destroy ${name}`),
      }
    }, options)
    return { ended, of: (origin: string, certificate: string) => peers.of(origin, certificate).name, peers }
  }

  test('is used again, and let go with the certificate', async () => {
    const { ended, of, peers } = bench()
    assert.deepEqual([of('a', 'x'), of('a', 'x'), of('b', 'x'), of('a', 'y')], ['x1', 'x1', 'x2', 'y3'])
    assert.deepEqual(ended, ['close x1'])
    await new Promise(setImmediate)
    await peers.destroy()
    assert.deepEqual(ended.slice(1).toSorted(), ['destroy x2', 'destroy y3'])
  })

  test('is bounded: the one that was not asked for the longest goes', () => {
    const { ended, of } = bench({ most: 2 })
    for (const origin of ['a', 'b', 'a', 'c']) of(origin, 'x')
    assert.deepEqual(ended, ['close x2'])
  })

  test('is let go when nobody has asked for it for a while', () => {
    let now = 0
    const { ended, of } = bench({ idleMs: 100, now: () => now })
    of('a', 'x')
    now = 60
    of('b', 'x')
    now = 120
    of('b', 'x')
    assert.deepEqual(ended, ['close x1'])
  })

  test('ends at once at the end, also what was let go and is not over', async () => {
    const ended: string[] = []
    const peers = createPeers(certificate => ({
      close: () => new Promise(() => {}),
      destroy: async () => ended.push(certificate),
    }))
    peers.of('a', 'x')
    peers.of('a', 'y')
    await peers.destroy()
    assert.deepEqual(ended, ['y', 'x'])
  })
})
