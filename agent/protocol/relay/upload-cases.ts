import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { test } from 'node:test'
import { fillUntilStalled, get, RawUpstream, startChain, within } from './relay-kit.ts'

const megabyte = 1024 * 1024
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const post = (...headers: string[]): string => ['POST /up HTTP/1.1', 'Host: a', ...headers, '', ''].join('\r\n')

/** Request bodies and backpressure, for `hops` relays in a row. */
export function uploadCases(hops: number): void {
  test('a chunked upload streams', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(post('Transfer-Encoding: chunked')).send('5\r\nfirst\r\n')
    const there = await upstream.request()
    await there.until('first')
    client.send('6\r\nsecond\r\n')
    await there.until('second')
    client.send('0\r\n\r\n')
    await there.until('0\r\n\r\n')
    there.send(ok)
    await client.until('ok')
    assert.equal((await chain.result()).bytesIn, 11)
  })

  test('trailers of a chunked upload come through, but none that would change what the request is', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, {
      origin: upstream.origin,
      target: { headers: { 'x-hop': 'ours' }, drop: (name: string) => name === 'x-secret' },
    })
    const client = await chain.connect()
    const forbidden = 'Host: b\r\nIf-Match: 9\r\nX-Forwarded-For: 9.9.9.9\r\nX-Hop: theirs\r\nX-Secret: 1\r\n'
    client
      .send(post('Transfer-Encoding: chunked', 'Trailer: X-Sum, Host'))
      .send(`5\r\nfirst\r\n0\r\nX-Sum: 7\r\n${forbidden}Authorization: Bearer b\r\n\r\n`)
    const there = await upstream.request()
    assert.match(there.received, /\r\nTrailer: X-Sum, Host\r\n/)
    const end = (await there.until('0\r\nX-Sum: 7\r\n\r\n')).split('first\r\n')[1]
    assert.equal(end, '0\r\nX-Sum: 7\r\n\r\n')
    there.send(ok)
    await client.until('ok')
  })

  test('a request that announces trailers it cannot have comes through without them', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const expecting = ['Expect: 100-continue', 'Content-Length: 4', 'Trailer: X-Sum']
    const client = (await chain.connect()).send(post(...expecting))
    const there = await upstream.request()
    assert.doesNotMatch(there.received, /trailer/i)
    there.send('HTTP/1.1 100 Continue\r\n\r\n')
    await client.until('100 Continue')
    client.send('body')
    await there.until('body')
    there.send(ok)
    await client.until('ok')
  })

  test('an answer that starts before the upload is over streams beside it', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(post('Transfer-Encoding: chunked')).send('2\r\nq1\r\n')
    const there = await upstream.request()
    await there.until('q1')
    there.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na1\r\n')
    await client.until('a1')
    client.send('2\r\nq2\r\n0\r\n\r\n')
    await there.until('0\r\n\r\n')
    there.send('2\r\na2\r\n0\r\n\r\n')
    await client.until('a2\r\n0\r\n\r\n')
  })

  test('Expect: 100-continue comes through, and the 100 is the upstream’s', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(post('Expect: 100-continue', 'Content-Length: 4'))
    const there = await upstream.request()
    assert.match(there.received, /\r\nexpect: 100-continue\r\n/i)
    assert.equal(client.received, '')
    there.send('HTTP/1.1 100 Continue\r\n\r\n')
    assert.match(await client.until('\r\n\r\n'), /^HTTP\/1\.1 100 Continue\r\n\r\n$/)
    client.send('body')
    await there.until('\r\n\r\nbody')
    there.send(ok)
    assert.match(await client.until('ok'), /\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
  })

  test('Expect: 100-continue with a chunked body comes through', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(post('Expect: 100-continue', 'Transfer-Encoding: chunked'))
    const there = (await upstream.request()).send('HTTP/1.1 100 Continue\r\n\r\n')
    await client.until('100 Continue')
    client.send('4\r\nbody\r\n0\r\n\r\n')
    await there.until('4\r\nbody\r\n0\r\n\r\n')
    there.send(ok)
    await client.until('ok')
  })

  test('an upstream that refuses the expectation gets no body, and the connection ends with its answer', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(post('Expect: 100-continue', 'Content-Length: 4'))
    const there = await upstream.request()
    there.send('HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno')
    const received = await client.untilOver()
    assert.match(received, /^HTTP\/1\.1 417 Expectation Failed\r\n/)
    assert.match(received, /\r\nconnection: close\r\n/i)
    assert.match(received, /\r\n\r\nno$/)
    assert.doesNotMatch(there.received, /\r\n\r\n./s)
  })

  test('a client that is tired of waiting for its 100 sends its body all the same', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(post('Expect: 100-continue', 'Content-Length: 4'))
    const there = await upstream.request()
    client.send('body')
    await there.until('\r\n\r\nbody')
    there.send(ok)
    await client.until('ok')
  })

  test('an expectation of an upstream that is down is a 502', async t => {
    const chain = await startChain(t, hops, { origin: 'http://127.0.0.1:9' })
    const client = (await chain.connect()).send(post('Expect: 100-continue', 'Content-Length: 4'))
    assert.match(await client.untilOver(), /^HTTP\/1\.1 502 /)
  })

  test('an answer that comes in the middle of an upload reaches the client, and the connection lives on', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(post(`Content-Length: ${megabyte}`)).send(Buffer.alloc(1000, 'a'))
    const there = await upstream.request()
    there.send('HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig').socket.end()
    assert.match(await client.until('big'), /^HTTP\/1\.1 413 /)
    client.send(Buffer.alloc(megabyte - 1000, 'a')).send(get('/after'))
    ;(await upstream.heard('/after')).send(ok)
    assert.match(await client.until('ok'), /HTTP\/1\.1 200 OK/)
  })

  test('a reader that stops holds the upstream back instead of filling memory', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = await chain.connect()
    client.socket.pause()
    client.send(get())
    const there = await upstream.request()
    there.send(`HTTP/1.1 200 OK\r\nContent-Length: ${512 * megabyte}\r\n\r\n`)
    const sent = await fillUntilStalled(there.socket, Buffer.alloc(megabyte), 512 * megabyte)
    assert(sent < 64 * megabyte, `${sent} bytes were taken without a reader`)
  })

  test('an upstream that stops reading holds the upload back', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(post(`Content-Length: ${512 * megabyte}`))
    client.send('first')
    const there = await upstream.request()
    there.socket.pause()
    const sent = await fillUntilStalled(client.socket, Buffer.alloc(megabyte), 512 * megabyte)
    assert(sent < 64 * megabyte, `${sent} bytes were taken without a reader`)
  })

  test('a body that pauses and goes on arrives whole', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const socket = net.connect(chain.port, '127.0.0.1')
    t.after(() => socket.destroy())
    socket.write(get())
    const there = await upstream.request()
    const body = randomBytes(24 * megabyte)
    there.send(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`)
    await fillUntilStalled(there.socket, body, body.length)
    const chunks: Buffer[] = []
    let bytes = 0
    const whole = Promise.withResolvers<void>()
    socket.on('data', chunk => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > body.length) whole.resolve()
    })
    await within(whole.promise, 'the body', 15_000)
    const received = Buffer.concat(chunks)
    assert(received.subarray(received.indexOf('\r\n\r\n') + 4).equals(body))
  })

  test('the head of a stream reaches the upstream before there is a body', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(post('Transfer-Encoding: chunked'))
    const there = (await upstream.request()).send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nready\r\n')
    await client.until('ready')
    client.send('2\r\ngo\r\n0\r\n\r\n')
    await there.until('0\r\n\r\n')
    there.send('0\r\n\r\n')
    await client.until('0\r\n\r\n')
  })
}
