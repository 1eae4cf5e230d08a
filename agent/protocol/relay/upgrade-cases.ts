import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { fillUntilStalled, get, RawUpstream, startChain, switching, upgrade, within } from './relay-kit.ts'

const megabyte = 1024 * 1024

/** Upgrades, byte by byte, for `hops` relays in a row. */
export function upgradeCases(hops: number): void {
  const joined = async (
    t: Parameters<typeof startChain>[0],
    options: Partial<Parameters<typeof startChain>[2]> = {},
  ) => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin, ...options })
    const client = (await chain.connect()).send(upgrade())
    const there = (await upstream.request()).send(switching)
    await client.until('\r\n\r\n')
    return { upstream, chain, client, there }
  }

  test('bytes in the same packet as the 101, and bytes before the 101, are neither lost nor reordered', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(`${upgrade()}early1`)
    const there = await upstream.request()
    client.send('early2')
    assert.match(there.received, /\r\n\r\n$/, 'nothing of the client’s may come before the 101')
    there.send(`${switching}same-packet`)
    there.send('next')
    client.send('late')
    assert.match(await client.until('next'), /\r\n\r\nsame-packetnext$/)
    assert.match(await there.until('late'), /\r\n\r\nearly1early2late$/)
    client.socket.end()
    there.socket.end()
    assert.deepEqual(await chain.result(), { status: 101, bytesIn: 16, bytesOut: 15 })
  })

  test('what the client sends is shown as it is passed on, from what came before the 101 on', async t => {
    const upstream = await RawUpstream.start(t)
    const shown: string[] = []
    const target = {
      onJoined: (protocol: string) => shown.push(`${protocol}:`),
      onSent: (piece: Buffer) => shown.push(piece.toString('latin1')),
    }
    const chain = await startChain(t, hops, { origin: upstream.origin, target })
    const client = (await chain.connect()).send(`${upgrade()}early1`)
    const there = await upstream.request()
    client.send('early2')
    there.send(`${switching}not-this`)
    await client.until('not-this')
    client.send('late')
    await there.until('late')
    assert.equal(shown.join(''), 'websocket:early1early2late')
  })

  test('much that is sent before the 101 arrives whole', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const early = 'abcdefghij'.repeat(100_000)
    const client = (await chain.connect()).send(upgrade() + early)
    const there = await upstream.request()
    assert.match(there.received, /\r\n\r\n$/)
    there.send(switching)
    client.send('!')
    const received = await there.until('!')
    assert.equal(received.slice(received.indexOf('\r\n\r\n') + 4), `${early}!`)
  })

  test('the heads are rewritten like those of a request', async t => {
    const upstream = await RawUpstream.start(t)
    const target = {
      headers: { 'x-porthole-key': 'k' },
      drop: (name: string) => name === 'cookie',
      answerHeaders: { 'x-a': '1' },
    }
    const chain = await startChain(t, hops, { origin: upstream.origin, target })
    const client = (await chain.connect()).send(
      upgrade('Cookie: a=b', 'X-Forwarded-For: 6.6.6.6', 'Sec-WebSocket-Protocol: binary'),
    )
    const there = (await upstream.request()).send(
      switching.replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: binary\r\nX-A: 0\r\n\r\n'),
    )
    const answer = await client.until('\r\n\r\n')
    for (const line of [
      'Host: public.example',
      'x-porthole-key: k',
      'X-Forwarded-For: 127.0.0.1',
      'Sec-WebSocket-Protocol: binary',
    ]) {
      assert(there.received.includes(`\r\n${line}\r\n`), `${line} is missing in ${there.received}`)
    }
    assert.equal(there.received.match(/\r\n(connection|upgrade):/gi)?.length, 2)
    assert.doesNotMatch(there.received, /cookie|6\.6\.6\.6/i)
    assert.match(answer, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
    assert.match(answer, /\r\nSec-WebSocket-Protocol: binary\r\n/)
    assert.match(answer, /\r\nx-a: 1\r\n/)
    assert.equal(answer.match(/\r\n(connection|upgrade):/gi)?.length, 2)
  })

  for (const [what, answer, status, body] of [
    ['200', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody', 200, 'body'],
    [
      '400 that keeps its connection',
      'HTTP/1.1 400 Bad\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody',
      400,
      'body',
    ],
    ['404 in chunks', 'HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n', 404, 'body'],
    ['426', 'HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n', 426, ''],
    ['302', 'HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n', 302, ''],
  ] as const) {
    test(`an upgrade answered with ${what} gets that, and a second request behind it never reaches the upstream`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, hops, { origin: upstream.origin })
      const client = (await chain.connect()).send(upgrade() + get('/smuggled-early'))
      const there = await upstream.request()
      there.send(answer)
      await client.until(body === '' ? '\r\n\r\n' : body)
      client.send(get('/smuggled-late'))
      const received = await client.untilOver()
      assert(received.startsWith(`HTTP/1.1 ${status} `))
      assert.match(received, /\r\nconnection: close\r\n/i)
      assert.equal(received.match(/HTTP\/1\.1/g)?.length, 1)
      await there.untilOver()
      assert.doesNotMatch(there.received, /smuggled/)
      assert.equal(upstream.connections, 1)
      assert.deepEqual(await chain.result(), { status, bytesIn: 0, bytesOut: body.length })
    })
  }

  test('a refusal whose body breaks off does not look whole', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(upgrade())
    const there = (await upstream.request()).send('HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n')
    await client.until('half')
    there.socket.resetAndDestroy()
    assert.doesNotMatch(await client.untilOver(), /\r\n0\r\n/)
    assert.equal((await chain.result()).code, 'upstream-failed')
  })

  test('a 103 before the 101 does not join the sockets', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(upgrade())
    const there = (await upstream.request()).send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
    client.send('early')
    there.send('HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno')
    assert.match(await client.untilOver(), /HTTP\/1\.1 403 No/)
    assert.doesNotMatch(there.received, /early/)
  })

  test('an upgrade with a body is refused', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(`${upgrade('Content-Length: 5')}hello`)
    assert.match(await client.untilOver(), /^HTTP\/1\.1 400 .*"upgrade-unsupported"/s)
    assert.equal(upstream.connections, 0)
  })

  test('an upgrade to an upstream that is down is a 502 with a body', async t => {
    const chain = await startChain(t, hops, { origin: 'http://127.0.0.1:9' })
    const client = (await chain.connect()).send(upgrade())
    assert.match(await client.untilOver(), /^HTTP\/1\.1 502 .*"upstream-unreachable"/s)
    const { status, code } = await chain.result()
    assert.equal(status, 502)
    assert.equal(code, hops === 1 ? 'upstream-unreachable' : undefined)
  })

  test('an upgrade that is not connected in time is a 504', async t => {
    const upstream = await RawUpstream.start(t)
    const origin = upstream.origin.replace('http:', 'https:')
    const chain = await startChain(t, hops, { origin, relay: { connectTimeoutMs: 100 } })
    const client = (await chain.connect()).send(upgrade())
    assert.match(await client.untilOver(), /^HTTP\/1\.1 504 .*"connect-timeout"/s)
  })

  test('an upgrade that is not answered in time is a 504', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin, target: { answerTimeoutMs: 100 } })
    const client = (await chain.connect()).send(upgrade())
    const there = await upstream.request()
    assert.match(await client.untilOver(), /^HTTP\/1\.1 504 .*"answer-timeout"/s)
    await there.untilOver()
  })

  for (const [what, answer] of [
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['a head of 20 KiB', `HTTP/1.1 101 Switching Protocols\r\nX: ${'a'.repeat(20 * 1024)}\r\n\r\n`],
  ] as const) {
    test(`an upgrade answered with ${what} is a 502`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, hops, { origin: upstream.origin })
      const client = (await chain.connect()).send(upgrade())
      ;(await upstream.request()).send(answer)
      assert.match(await client.untilOver(), /^HTTP\/1\.1 502 .*"upstream-malformed"/s)
    })
  }

  test('an upstream that closes instead of answering an upgrade is a 502', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(upgrade())
    ;(await upstream.request()).socket.end()
    assert.match(await client.untilOver(), /^HTTP\/1\.1 502 .*"upstream-failed"/s)
  })

  for (const [what, close] of [
    ['reset', (socket: Socket) => socket.resetAndDestroy()],
    ['close', (socket: Socket) => socket.destroy()],
  ] as const) {
    test(`a ${what} of the upstream reaches the client within a second`, async t => {
      const { chain, client, there } = await joined(t)
      client.socket.allowHalfOpen = false
      close(there.socket)
      await within(client.closed, 'the close', 1_000)
      const { code } = await chain.result()
      if (what === 'reset') assert.equal(code, 'upstream-failed')
    })

    test(`a ${what} of the client reaches the upstream within a second`, async t => {
      const { chain, client, there } = await joined(t)
      there.socket.allowHalfOpen = false
      close(client.socket)
      await within(there.closed, 'the close', 1_000)
      const { code } = await chain.result()
      if (what === 'reset') assert.equal(code, 'client-gone')
    })
  }

  test('a client that goes away before the 101 ends the upstream’s connection', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(upgrade())
    const there = await upstream.request()
    client.socket.resetAndDestroy()
    await there.untilOver()
    assert.equal((await chain.result()).code, 'client-gone')
  })

  test("a half-close of the client lets the upstream's reply through", async t => {
    const { client, there } = await joined(t)
    client.send('question').socket.end()
    await there.until('question')
    await within(there.ended, 'the FIN')
    there.send('reply').socket.end()
    await client.until('reply')
    await within(client.closed, 'the end')
  })

  test('a half-close of the client that comes before the 101 reaches the upstream after it', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(upgrade())
    const there = await upstream.request()
    client.socket.end()
    // The FIN and a byte take the same way: once another connection was served, the FIN is there too.
    ;(await chain.connect()).send(get('/meanwhile'))
    await upstream.heard('GET /meanwhile')
    there.send(switching)
    await within(there.ended, 'the FIN')
    there.send('reply').socket.end()
    await client.until('reply')
    await within(client.closed, 'the end')
  })

  test("a half-close of the upstream lets the client's reply through", async t => {
    const { client, there } = await joined(t)
    there.send('question').socket.end()
    await client.until('question')
    await within(client.ended, 'the FIN')
    client.send('reply').socket.end()
    await there.until('reply')
    await within(there.closed, 'the end')
  })

  test('a client that stops reading holds the upstream back', async t => {
    const { client, there } = await joined(t)
    client.socket.pause()
    const sent = await fillUntilStalled(there.socket, Buffer.alloc(megabyte), 512 * megabyte)
    assert(sent < 64 * megabyte, `${sent} bytes were taken without a reader`)
  })

  test('an upstream that stops reading holds the client back', async t => {
    const { client, there } = await joined(t)
    there.socket.pause()
    const sent = await fillUntilStalled(client.socket, Buffer.alloc(megabyte), 512 * megabyte)
    assert(sent < 64 * megabyte, `${sent} bytes were taken without a reader`)
  })

  test('silence ends a socket only where that is asked for', async t => {
    const { chain, client, there } = await joined(t, { target: { idleTimeoutMs: 100 } })
    await client.untilOver()
    await there.untilOver()
    assert.equal((await chain.result(hops - 1)).code, 'idle-timeout')
  })

  test('an abort closes both sockets and leaves no listener', async t => {
    const stop = new AbortController()
    const { chain, client, there } = await joined(t, { target: { signal: stop.signal } })
    client.socket.allowHalfOpen = false
    stop.abort()
    await client.untilOver()
    await there.untilOver()
    assert.equal((await chain.result(hops - 1)).code, 'closed')
    assert.equal(getEventListeners(stop.signal, 'abort').length, 0)
  })

  test('an abort before the 101 is a 503', async t => {
    const upstream = await RawUpstream.start(t)
    const stop = new AbortController()
    const chain = await startChain(t, hops, { origin: upstream.origin, target: { signal: stop.signal } })
    const client = (await chain.connect()).send(upgrade())
    const there = await upstream.request()
    stop.abort()
    assert.match(await client.untilOver(), /^HTTP\/1\.1 503 .*"closed"/s)
    await there.untilOver()
  })

  test('closing the relay closes its sockets', async t => {
    const { chain, client, there } = await joined(t)
    await chain.relays[0]?.close()
    await client.untilOver()
    await there.untilOver()
  })
}
