import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { type Chain, dial, fillUntilStalled, get, RawUpstream, startChain, upgrade, within } from './relay-kit.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** An ordinary request, which is answered: the relay is well. */
async function pass(chain: Chain, upstream: RawUpstream): Promise<void> {
  const client = (await chain.connect()).send(get('/well'))
  ;(await upstream.heard('GET /well')).send(ok)
  await client.until('\r\n\r\nok')
}

/** What breaks, for `hops` relays in a row. */
export function faultCases(hops: number): void {
  for (const [what, partial] of [
    ['a Content-Length body', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'],
    ['a chunked body', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
  ] as const) {
    for (const [how, die] of [
      ['ends', (socket: net.Socket) => socket.end()],
      ['is reset', (socket: net.Socket) => socket.resetAndDestroy()],
    ] as const) {
      test(`an upstream that ${how} in the middle of ${what} ends the client's connection visibly`, async t => {
        const upstream = await RawUpstream.start(t)
        const chain = await startChain(t, hops, { origin: upstream.origin })
        const client = (await chain.connect()).send(get())
        const there = (await upstream.request()).send(partial)
        await client.until('half')
        die(there.socket)
        const received = await client.untilOver()
        assert.doesNotMatch(received, /\r\n0\r\n/)
        assert.deepEqual(await chain.result(), { status: 200, code: 'upstream-failed', bytesIn: 0, bytesOut: 4 })
      })
    }
  }

  for (const [what, request] of [
    ['a request', get()],
    ['a streamed upload', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['an upgrade', upgrade()],
  ] as const) {
    for (const status of ['000', '042', '099'])
      test(`the status ${status} in answer to ${what} is a 502, and hurts nobody else`, async t => {
        const upstream = await RawUpstream.start(t)
        const chain = await startChain(t, hops, { origin: upstream.origin })
        const client = (await chain.connect()).send(request)
        ;(await upstream.request()).send(`HTTP/1.1 ${status} A\r\nContent-Length: 0\r\n\r\n`).socket.end()
        assert.match(await client.until('"upstream-'), /^HTTP\/1\.1 502 /)
        await pass(chain, upstream)
      })

    for (const field of [
      'X: a\x7fb',
      'X: \x80\xff',
      'X\x7f: a',
      'X: a\x01b',
      'X: \t',
      'Connection: \x80',
      'Trailer: \x80',
    ])
      test(`the field ${JSON.stringify(field)} in answer to ${what} hurts nobody else`, async t => {
        const upstream = await RawUpstream.start(t)
        const chain = await startChain(t, hops, { origin: upstream.origin })
        const client = (await chain.connect()).send(request)
        const chunks = `Transfer-Encoding: chunked\r\n\r\n0\r\n${field}\r\n\r\n`
        const early = `HTTP/1.1 103 A\r\n${field}\r\n\r\n`
        ;(await upstream.request()).send(`${early}HTTP/1.1 403 A\x80\r\n${field}\r\n${chunks}`)
        assert.match(await client.until('\r\n\r\n'), /^HTTP\/1\.1 (103|403|502) /)
        await pass(chain, upstream)
      })
  }

  test('a body without a length that is reset does not look whole', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(get())
    const there = (await upstream.request()).send('HTTP/1.1 200 OK\r\n\r\nhalf')
    await client.until('half')
    there.socket.resetAndDestroy()
    assert.doesNotMatch(await client.untilOver(), /\r\n0\r\n/)
  })

  test('a body without a length that is reset is a reset for an HTTP/1.0 client', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send('GET / HTTP/1.0\r\nHost: a\r\n\r\n')
    const there = (await upstream.request()).send('HTTP/1.1 200 OK\r\n\r\nhalf')
    await client.until('half')
    there.socket.resetAndDestroy()
    assert.equal(await within(client.closed, 'the reset'), 'reset')
  })

  test('a body without a length that ends is whole', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(get())
    const there = (await upstream.request()).send('HTTP/1.1 200 OK\r\n\r\nwhole')
    await client.until('whole')
    there.socket.end()
    await client.until('\r\n0\r\n\r\n')
  })

  test('an upstream that is down is a 502 with a body', async t => {
    const chain = await startChain(t, hops, { origin: 'http://127.0.0.1:9' })
    const client = (await chain.connect()).send(get())
    const received = await client.until('"upstream-unreachable"')
    assert.match(received, /^HTTP\/1\.1 502 /)
    assert.match(received, /content-type: application\/problem\+json/i)
  })

  test('the caller writes its own problem', async t => {
    const problem = (failure: { code: string }) => ({
      headers: { 'Content-Type': 'text/x' },
      body: `own ${failure.code}`,
    })
    const chain = await startChain(t, hops, { origin: 'http://127.0.0.1:9', target: { problem } })
    const client = (await chain.connect()).send(get())
    assert.match(await client.until('own upstream-unreachable'), /content-type: text\/x/i)
  })

  test('an upstream that takes no part in a TLS handshake is a 504', async t => {
    const upstream = await RawUpstream.start(t)
    const origin = upstream.origin.replace('http:', 'https:')
    const chain = await startChain(t, hops, { origin, relay: { connectTimeoutMs: 100 } })
    const client = (await chain.connect()).send(get())
    assert.match(await client.until('"connect-timeout"'), /^HTTP\/1\.1 504 /)
  })

  test('an upstream that does not answer is a 504', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin, target: { answerTimeoutMs: 100 } })
    const client = (await chain.connect()).send(get())
    const there = await upstream.request()
    assert.match(await client.until('"answer-timeout"'), /^HTTP\/1\.1 504 /)
    await there.untilOver()
  })

  test('an upstream that goes silent in the middle of a body is cut off', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin, target: { idleTimeoutMs: 100 } })
    const client = (await chain.connect()).send(get())
    ;(await upstream.request()).send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
    await client.until('half')
    await client.untilOver()
    assert.equal((await chain.result(hops - 1)).code, 'idle-timeout')
  })

  for (const [what, question, answer] of [
    [
      'to a chunked upload',
      `${get('/', 'Transfer-Encoding: chunked').replace('GET', 'POST')}0\r\n\r\n`,
      'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf',
    ],
    ['to an upgrade that it refuses', upgrade(), 'HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nhalf'],
  ] as const)
    test(`an upstream that goes silent in the middle of its answer ${what} is cut off`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, hops, { origin: upstream.origin, target: { idleTimeoutMs: 100 } })
      const client = (await chain.connect()).send(question)
      const there = await upstream.request()
      there.send(answer)
      await client.until('half')
      await client.untilOver()
      await there.untilOver()
      assert.equal((await chain.result(hops - 1)).code, 'idle-timeout')
    })

  test('an answer to a chunked upload that its client holds up is not cut off', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin, target: { idleTimeoutMs: 100 } })
    const client = await chain.connect()
    client.send(`${get('/', 'Transfer-Encoding: chunked').replace('GET', 'POST')}0\r\n\r\n`)
    const there = await upstream.request()
    there.send('HTTP/1.1 200 OK\r\n\r\n')
    await client.until('\r\n\r\n')
    client.socket.pause()
    // Returns when nothing has moved for more than twice the silence that is allowed.
    await fillUntilStalled(there.socket, Buffer.alloc(2 ** 20), 512 * 2 ** 20)
    client.socket.resume()
    there.socket.end('the end')
    await client.until('the end')
  })

  test('a client that goes silent in the middle of an upload is a 504', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin, target: { idleTimeoutMs: 100 } })
    const client = (await chain.connect()).send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf')
    const there = await upstream.request()
    assert.match(await client.until('"idle-timeout"'), /^HTTP\/1\.1 504 /)
    await there.untilOver()
  })

  for (const [what, answer] of [
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    [
      'both Content-Length and Transfer-Encoding',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a head of 20 KiB', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(20 * 1024)}\r\n\r\n`],
    [
      'a 101 that nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    ],
  ] as const) {
    test(`an upstream that answers with ${what} is a 502`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, hops, { origin: upstream.origin })
      const client = (await chain.connect()).send(get())
      ;(await upstream.request()).send(answer)
      assert.match(await client.until('\r\n\r\n'), /^HTTP\/1\.1 502 /)
    })
  }

  for (const [what, sent, answer] of [
    ['while it waits', get(), ''],
    ['in the middle of an answer', get(), 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'],
    ['in the middle of an upload', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf', ''],
    [
      'while it waits for leave to send',
      'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n',
      '',
    ],
  ] as const) {
    test(`a client that goes away ${what} ends the upstream's request`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, hops, { origin: upstream.origin })
      const client = (await chain.connect()).send(sent)
      const there = await upstream.request()
      if (answer !== '') {
        there.send(answer)
        await client.until('half')
      }
      client.socket.destroy()
      await there.untilOver()
      assert.equal((await chain.result()).code, 'client-gone')
    })
  }

  test('a client that goes away ends all the requests it had in line', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(get('/1') + get('/2') + get('/3'))
    const wires = [await upstream.heard('/1'), await upstream.heard('/2'), await upstream.heard('/3')]
    client.socket.destroy()
    for (const wire of wires) await wire.untilOver()
    for (const _ of wires) assert.equal((await chain.result()).code, 'client-gone')
  })

  test('hundreds of aborts leave the pool whole', async t => {
    const server = http.createServer((req, res) => {
      if (req.url === '/ok') return res.end('fine')
      res.writeHead(200, { 'Content-Length': 1_000_000 })
      return res.write('x'.repeat(10_000))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close().closeAllConnections())
    const chain = await startChain(t, hops, { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
    for (let round = 0; round < 5; round += 1) {
      const clients = await Promise.all(Array.from({ length: 40 }, () => dial(t, chain.port)))
      for (const [i, client] of clients.entries()) {
        client.send(get('/abort'))
        if (i % 2 === 0) client.socket.once('data', () => client.socket.resetAndDestroy())
        else setImmediate(() => client.socket.destroy())
      }
      await Promise.all(clients.map(client => within(client.closed, 'an abort')))
    }
    const after = (await chain.connect()).send(get('/ok'))
    await after.until('fine')
    after.socket.destroy()
    for (let i = 0; i < 200; i += 1) await chain.result()
    const [connections] = await Promise.all([new Promise<number>(done => server.getConnections((_, n) => done(n)))])
    assert(connections <= 2, `${connections} connections to the upstream are left`)
  })

  test('960 safe requests all succeed while the upstream closes kept connections as they are reused', async t => {
    // Answers, and closes its side half a moment later without having said so: the next request meets the FIN or a reset.
    const upstream = net.createServer(socket => {
      let served = 0
      socket.on('error', () => {})
      socket.on('data', () => {
        if (served > 0) return socket.resetAndDestroy()
        served += 1
        socket.write(ok)
        if (Math.random() < 0.5) setTimeout(() => socket.end(), Math.random() * 3)
        return undefined
      })
    })
    upstream.listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    t.after(() => upstream.close())
    const chain = await startChain(t, hops, { origin: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}` })
    const statuses = new Map<string, number>()
    const worker = async () => {
      const client = await chain.connect()
      for (let i = 0; i < 60; i += 1) {
        client.forget()
        client.send(get(`/${i}`))
        const received = await client.until('\r\n\r\n')
        const status = received.slice(9, 12)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        if (status === '200') await client.until('ok')
        await new Promise(resolve => setTimeout(resolve, Math.random() * 3))
      }
    }
    await Promise.all(Array.from({ length: 16 }, worker))
    assert.deepEqual([...statuses], [['200', 960]])
  })

  test('a POST on a connection that was closed is not repeated', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(get('/first'))
    const there = (await upstream.request()).send(ok)
    await client.until('ok')
    client.send('POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi')
    await there.until('hi')
    there.socket.resetAndDestroy()
    await client.until('HTTP/1.1 502 ')
    assert.equal(upstream.connections, 1)
  })

  test('a GET on a new connection that was closed is not repeated', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(get('/first'))
    ;(await upstream.request()).socket.resetAndDestroy()
    await client.until('HTTP/1.1 502 ')
    assert.equal(upstream.connections, 1)
  })

  test('a GET whose answer had begun is not repeated', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(get('/first'))
    const there = (await upstream.request()).send(ok)
    await client.until('ok')
    client.send(get('/second'))
    await there.until('/second')
    there.send('HTTP/1.1 20').socket.end()
    await client.until('HTTP/1.1 502 ')
    assert.equal(upstream.connections, 1)
  })

  test('an abort before the answer is a 503 and ends the upstream’s request', async t => {
    const upstream = await RawUpstream.start(t)
    const stop = new AbortController()
    const chain = await startChain(t, hops, { origin: upstream.origin, target: { signal: stop.signal } })
    const client = (await chain.connect()).send(get())
    const there = await upstream.request()
    stop.abort()
    assert.match(await client.until('"closed"'), /^HTTP\/1\.1 503 /)
    await there.untilOver()
    const late = (await chain.connect()).send(get())
    assert.match(await late.until('"closed"'), /^HTTP\/1\.1 503 /)
  })

  test('an abort in the middle of an answer ends both sides', async t => {
    const upstream = await RawUpstream.start(t)
    const stop = new AbortController()
    const chain = await startChain(t, hops, { origin: upstream.origin, target: { signal: stop.signal } })
    const client = (await chain.connect()).send(get())
    const there = (await upstream.request()).send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n')
    await client.until('half')
    stop.abort()
    assert.doesNotMatch(await client.untilOver(), /\r\n0\r\n/)
    await there.untilOver()
    await chain.result()
    assert.equal(getEventListeners(stop.signal, 'abort').length, 0)
  })

  test('whoever was given the end of a request as it began ends it, also after it is over', async t => {
    const upstream = await RawUpstream.start(t)
    let stop = () => {}
    const onBegin = (end: () => void) => {
      stop = end
    }
    const chain = await startChain(t, hops, { origin: upstream.origin, target: { onBegin } })
    const client = (await chain.connect()).send(get())
    const there = await upstream.request()
    stop()
    assert.match(await client.until('"closed"'), /^HTTP\/1\.1 503 /)
    await there.untilOver()
    await chain.result()
    stop()
  })

  test('one request too many is a 503', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin, relay: { maxExchanges: 1 } })
    const first = (await chain.connect()).send(get())
    const there = await upstream.request()
    const second = (await chain.connect()).send(get())
    assert.match(await second.until('"overloaded"'), /^HTTP\/1\.1 503 /)
    there.send(ok)
    await first.until('ok')
  })
}
