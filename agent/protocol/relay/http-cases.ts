import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { type Chain, get, RawUpstream, startChain, type Wire, within } from './relay-kit.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const headersOf = (wire: Wire, name: string): string[] =>
  wire.received
    .slice(0, wire.received.indexOf('\r\n\r\n'))
    .split('\r\n')
    .filter(line => line.toLowerCase().startsWith(`${name}:`))
    .map(line => line.slice(name.length + 1).trim())

/** What goes over HTTP, for `hops` relays in a row. */
export function httpCases(hops: number): void {
  test('the original Host is kept', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(get('/a?b=%20c'))
    const there = (await upstream.request()).send(ok)
    await client.until('ok')
    assert.deepEqual(headersOf(there, 'host'), ['public.example'])
    assert.match(there.received, /^GET \/a\?b=%20c HTTP\/1\.1\r\n/)
    assert.deepEqual(await chain.result(), { status: 200, bytesIn: 0, bytesOut: 2 })
  })

  test("the target's headers, Host among them, win over the client's, and its drops do not pass", async t => {
    const upstream = await RawUpstream.start(t)
    const target = {
      headers: { host: 'inside', 'x-porthole-key': 'k' },
      drop: (name: string) => name === 'authorization',
    }
    const chain = await startChain(t, hops, { origin: upstream.origin, target })
    const client = (await chain.connect()).send(get('/', 'X-Porthole-Key: mine', 'authorization: Bearer x'))
    const there = (await upstream.request()).send(ok)
    await client.until('ok')
    assert.deepEqual(headersOf(there, 'host'), ['inside'])
    assert.deepEqual(headersOf(there, 'x-porthole-key'), ['k'])
    assert.deepEqual(headersOf(there, 'authorization'), [])
  })

  test("a client's own X-Forwarded-* and Forwarded are dropped, then set once", async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const spoof = [
      'X-Forwarded-For: 6.6.6.6',
      'X-FORWARDED-PROTO: evil',
      'Forwarded: for=6.6.6.6',
      'X-Real-IP: 6.6.6.6',
    ]
    const client = (await chain.connect()).send(get('/', ...spoof, 'X-Forwarded-Port: 1', 'X-Forwarded-For: 7.7.7.7'))
    const there = (await upstream.request()).send(ok)
    await client.until('ok')
    assert.deepEqual(headersOf(there, 'x-forwarded-for'), ['127.0.0.1'])
    assert.deepEqual(headersOf(there, 'x-forwarded-proto'), ['http'])
    assert.deepEqual(headersOf(there, 'x-forwarded-host'), ['public.example'])
    for (const name of ['forwarded', 'x-real-ip', 'x-forwarded-port']) assert.deepEqual(headersOf(there, name), [])
  })

  test("headers named in the request's and in the answer's Connection are dropped with it", async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(
      get('/', 'Connection: keep-alive, X-Hop', 'X-Hop: 1', 'TE: trailers', 'X-End: 1'),
    )
    const there = await upstream.request()
    there.send('HTTP/1.1 200 OK\r\nConnection: x-back\r\nX-Back: 1\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok')
    await client.until('ok')
    assert.deepEqual(headersOf(there, 'x-hop'), [])
    assert.deepEqual(headersOf(there, 'te'), [])
    assert.deepEqual(headersOf(there, 'x-end'), ['1'])
    assert.deepEqual(headersOf(client, 'x-back'), [])
    assert.deepEqual(headersOf(client, 'x-end'), ['1'])
  })

  test('a client cannot have Host or framing dropped by naming them in Connection', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const post =
      'POST / HTTP/1.1\r\nHost: public.example\r\nConnection: host, content-length\r\nContent-Length: 3\r\n\r\nabc'
    const client = (await chain.connect()).send(post)
    const there = await upstream.request()
    await there.until('abc')
    there.send(ok)
    await client.until('ok')
    assert.deepEqual(headersOf(there, 'host'), ['public.example'])
    assert.deepEqual(headersOf(there, 'content-length'), ['3'])
  })

  test('two Set-Cookie stay two', async t => {
    const { client } = await answered(
      hops,
      t,
      'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok',
    )
    await client.until('ok')
    assert.deepEqual(headersOf(client, 'set-cookie'), ['a=1', 'b=2'])
  })

  test("the target filters, rewrites and sets the answer's headers", async t => {
    const upstream = await RawUpstream.start(t)
    const target = {
      answerHeader: (name: string, value: string) => (name === 'set-cookie' ? undefined : value.replace('in', 'out')),
      answerHeaders: { 'content-security-policy': 'sandbox' },
    }
    const chain = await startChain(t, hops, { origin: upstream.origin, target })
    const client = (await chain.connect()).send(get())
    const there = await upstream.request()
    there.send(
      'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: in\r\nContent-Security-Policy: none\r\nContent-Length: 2\r\n\r\nok',
    )
    await client.until('ok')
    assert.deepEqual(headersOf(client, 'set-cookie'), [])
    assert.deepEqual(headersOf(client, 'x'), ['out'])
    assert.deepEqual(headersOf(client, 'content-security-policy'), ['sandbox'])
  })

  test('a redirect is passed on, not followed', async t => {
    const { client, upstream } = await answered(
      hops,
      t,
      'HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n',
    )
    await client.until('\r\n\r\n')
    assert.match(client.received, /^HTTP\/1\.1 302 Found/)
    assert.deepEqual(headersOf(client, 'location'), ['/other'])
    assert.equal(upstream.connections, 1)
  })

  test('a gzip body passes untouched with its headers', async t => {
    const body = gzipSync('hello '.repeat(100))
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`
    const { client } = await answered(hops, t, Buffer.concat([Buffer.from(head), body]))
    const received = await client.until(body.toString('latin1'))
    assert.deepEqual(headersOf(client, 'content-encoding'), ['gzip'])
    assert.deepEqual(headersOf(client, 'content-length'), [String(body.length)])
    assert.equal(received.split('\r\n\r\n').slice(1).join('\r\n\r\n'), body.toString('latin1'))
  })

  test('103 Early Hints come through before the answer', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(get())
    const there = await upstream.request()
    there.send('HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n')
    assert.match(
      await client.until('\r\n\r\n'),
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>; rel=preload\r\n\r\n$/i,
    )
    there.send(ok)
    assert.match(await client.until('ok'), /HTTP\/1\.1 200 OK/)
  })

  for (const [what, method, answer, header] of [
    ['HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: "a"\r\n\r\n', 'content-length'],
    ['204', 'GET', 'HTTP/1.1 204 No Content\r\nETag: "a"\r\n\r\n', 'etag'],
    [
      '304 with a Content-Length',
      'GET',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: "a"\r\n\r\n',
      'content-length',
    ],
    ['304 with nothing', 'GET', 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', 'etag'],
  ] as const) {
    test(`${what} keeps its headers and has no body`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, hops, { origin: upstream.origin })
      const client = (await chain.connect()).send(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`)
      ;(await upstream.request()).send(answer)
      await client.until('\r\n\r\n')
      assert.equal(headersOf(client, header).length, 1)
      assert.deepEqual(headersOf(client, 'etag'), ['"a"'])
      assert.deepEqual(headersOf(client, 'transfer-encoding'), [])
      // The next request on the same connection is answered: nothing was left in between.
      const before = client.received.length
      client.send(get('/next'))
      ;(await upstream.heard('/next')).send(ok)
      await client.until('ok')
      assert.match(client.received.slice(before), /^HTTP\/1\.1 200 OK/)
    })
  }

  test('SSE arrives event by event', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(get('/events', 'Accept: text/event-stream'))
    const there = await upstream.request()
    there.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
    await client.until('text/event-stream')
    for (const event of ['one', 'two', 'three']) {
      there.send(`${(event.length + 8).toString(16)}\r\ndata: ${event}\n\n\r\n`)
      await client.until(`data: ${event}\n\n`)
    }
  })

  test('trailers pass', async t => {
    const answer =
      'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n'
    const { client } = await answered(hops, t, answer)
    assert.match(await client.until('X-Sum: 7'), /0\r\nX-Sum: 7\r\n/)
  })

  test('a kept-alive client connection serves one request after another', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = await chain.connect()
    client.send(get('/1'))
    const there = (await upstream.request()).send(ok)
    await client.until('ok')
    client.send(get('/2'))
    await there.until('/2')
    there.send('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore')
    await client.until('more')
    assert.equal(upstream.connections, 1)
  })

  test('8 KiB of headers pass, 20 KiB are a 431', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const fits = (await chain.connect()).send(get('/', `X-Long: ${'a'.repeat(8 * 1024)}`))
    ;(await upstream.request()).send(ok)
    await fits.until('ok')
    const bursts = (await chain.connect()).send(get('/', `X-Long: ${'a'.repeat(20 * 1024)}`))
    assert.match(await bursts.until('\r\n\r\n'), /^HTTP\/1\.1 431 /)
    assert.equal(upstream.connections, 1)
  })

  for (const [what, lines] of [
    [
      'Content-Length together with Transfer-Encoding',
      ['Content-Length: 3', 'Transfer-Encoding: chunked', '', '0', '', ''],
    ],
    [
      'Transfer-Encoding together with Content-Length',
      ['Transfer-Encoding: chunked', 'Content-Length: 3', '', '0', '', ''],
    ],
    ['an obs-fold', ['X: a', ' folded', '', '']],
    ['a bare CR', ['X: a\rY: b', '', '']],
    ['two different lengths', ['Content-Length: 3', 'Content-Length: 4', '', 'abcd']],
    ['two lengths in one', ['Content-Length: 3, 4', '', 'abcd']],
    ['a Transfer-Encoding that is not chunked', ['Transfer-Encoding: xchunked', '', '0', '', '']],
    ['a second Host', ['Host: b', '', '']],
  ] as const) {
    test(`${what} is refused`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, hops, { origin: upstream.origin })
      const client = (await chain.connect()).send(['POST / HTTP/1.1', 'Host: a', ...lines].join('\r\n'))
      assert.match(await client.until('\r\n\r\n'), /^HTTP\/1\.1 400 /)
      assert.equal(upstream.connections, 0)
    })
  }

  test('TRACE, which would echo credentials, is a 405', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send('TRACE / HTTP/1.1\r\nHost: a\r\n\r\n')
    assert.match(await client.until('method-not-allowed'), /^HTTP\/1\.1 405 /)
    assert.equal(upstream.connections, 0)
  })

  test('an upgrade to something else than WebSocket is a plain request', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = await chain.connect()
    client.send(get('/', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk'))
    const there = (await upstream.request()).send(ok)
    await client.until('ok')
    assert.deepEqual(headersOf(there, 'upgrade'), [])
    assert.deepEqual(headersOf(there, 'http2-settings'), [])
  })

  test('answers of many at a time are not mixed up', async t => {
    const server = http.createServer((req, res) => res.end(req.url))
    t.after(() => server.close().closeAllConnections())
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    assert(typeof address === 'object' && address !== null)
    const chain = await startChain(t, hops, { origin: `http://127.0.0.1:${address.port}` })
    const agent = new http.Agent({ keepAlive: true, maxSockets: 20 })
    t.after(() => agent.destroy())
    const paths = Array.from({ length: 100 }, (_, i) => `/${i}`)
    assert.deepEqual(await Promise.all(paths.map(path => fetchText(chain, path, agent))), paths)
  })
}

async function answered(hops: number, t: Parameters<typeof RawUpstream.start>[0], answer: string | Buffer) {
  const upstream = await RawUpstream.start(t)
  const chain = await startChain(t, hops, { origin: upstream.origin })
  const client = (await chain.connect()).send(get())
  const there = (await upstream.request()).send(answer)
  return { client, there, upstream, chain }
}

function fetchText(chain: Chain, path: string, agent: http.Agent): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  http
    .get({ port: chain.port, host: '127.0.0.1', path, agent }, res => {
      let text = ''
      res.setEncoding('utf8')
      res.on('data', chunk => {
        text += chunk
      })
      res.on('end', () => resolve(text))
      res.on('error', reject)
    })
    .on('error', reject)
  return within(promise, path)
}
