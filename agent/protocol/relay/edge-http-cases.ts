import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { type OpenFront, valuesOf, visit } from './front.ts'
import { fillUntilStalled, RawUpstream } from './relay-kit.ts'

const megabyte = 1024 * 1024
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const passed = { 'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Proto': 'evil', 'X-Forwarded-Host': 'evil' }
const dropped = { 'X-Forwarded-Port': '1', Forwarded: 'for=6.6.6.6', 'X-Real-IP': '6.6.6.6' }

/** Where proxies go wrong in HTTP: what passes, and what is refused. */
export function edgeHttpCases(open: OpenFront): void {
  const world = async (t: TestContext) => {
    const upstream = await RawUpstream.start(t)
    const front = await open(t, upstream.origin)
    return { upstream, front, client: await visit(t, front) }
  }
  const answered = async (t: TestContext, answer: string | Buffer, method = 'GET') => {
    const { client, upstream } = await world(t)
    client.ask(method, '/a')
    ;(await upstream.request()).send(answer)
    return { client, upstream }
  }

  test('the original Host is kept, or set on purpose', async t => {
    const { client, upstream, front } = await world(t)
    client.ask('GET', '/a?b=%20c')
    const there = (await upstream.request()).send(ok)
    await client.until('ok')
    assert.deepEqual(valuesOf(there, 'host'), [front.host])
    assert.match(there.received, /^GET \/a\?b=%20c HTTP\/1\.1\r\n/)
  })

  test("a client's own X-Forwarded-* and Forwarded are dropped, then set once", async t => {
    const { client, upstream } = await world(t)
    const lines = Object.entries({ ...passed, ...dropped }).map(([name, value]) => `${name}: ${value}`)
    client.ask('GET', '/', ...lines, 'X-Forwarded-For: 7.7.7.7')
    const there = (await upstream.request()).send(ok)
    await client.until('ok')
    assert.deepEqual(valuesOf(there, 'x-forwarded-for'), ['127.0.0.1'])
    for (const name of Object.keys(passed)) {
      const values = valuesOf(there, name.toLowerCase())
      assert.equal(values.length, 1, name)
      assert.doesNotMatch(values[0] ?? '', /evil/)
    }
    for (const name of Object.keys(dropped)) assert.deepEqual(valuesOf(there, name.toLowerCase()), [], name)
  })

  test("headers named in the request's and in the response's Connection are dropped with it", async t => {
    const { client, upstream } = await world(t)
    client.ask('GET', '/', 'Connection: keep-alive, X-Hop', 'X-Hop: 1', 'X-End: 1')
    const there = await upstream.request()
    there.send('HTTP/1.1 200 OK\r\nConnection: x-back\r\nX-Back: 1\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok')
    await client.until('ok')
    assert.deepEqual([valuesOf(there, 'x-hop'), valuesOf(there, 'x-end')], [[], ['1']])
    assert.deepEqual([valuesOf(client, 'x-back'), valuesOf(client, 'x-end')], [[], ['1']])
  })

  test('two Set-Cookie stay two, where cookies are passed on at all', async t => {
    const { client, upstream, front } = await world(t)
    client.ask('GET', '/')
    const twice = 'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nWWW-Authenticate: A\r\nWWW-Authenticate: B'
    ;(await upstream.request()).send(`HTTP/1.1 200 OK\r\n${twice}\r\nContent-Length: 2\r\n\r\nok`)
    await client.until('ok')
    assert.deepEqual(valuesOf(client, 'set-cookie'), front.passesCookies ? ['a=1', 'b=2'] : [])
    assert.deepEqual(valuesOf(client, 'www-authenticate'), ['A', 'B'])
  })

  test('a redirect is passed on, not followed', async t => {
    const { client, upstream, front } = await world(t)
    client.ask('GET', '/')
    ;(await upstream.request()).send('HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n')
    assert.match(await client.until('\r\n\r\n'), /^HTTP\/1\.1 302 Found/)
    assert.deepEqual(valuesOf(client, 'location'), [front.at('/other')])
    assert.equal(upstream.connections, 1)
  })

  test('a gzip body passes untouched with its headers', async t => {
    const body = gzipSync('hello '.repeat(100))
    const head = `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`
    const { client } = await answered(t, Buffer.concat([Buffer.from(head), body]))
    await client.until(body.toString('latin1'))
    assert.deepEqual(valuesOf(client, 'content-encoding'), ['gzip'])
    assert.deepEqual(valuesOf(client, 'content-length'), [String(body.length)])
  })

  test('a range of a body passes with its headers', async t => {
    const { client, upstream } = await world(t)
    client.ask('GET', '/', 'Range: bytes=2-3', 'If-Range: "a"')
    const there = await upstream.request()
    assert.deepEqual([valuesOf(there, 'range'), valuesOf(there, 'if-range')], [['bytes=2-3'], ['"a"']])
    there.send('HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-3/9\r\nContent-Length: 2\r\n\r\ncd')
    assert.match(await client.until('\r\n\r\ncd'), /^HTTP\/1\.1 206 Partial Content\r\n/)
    assert.deepEqual(valuesOf(client, 'content-range'), ['bytes 2-3/9'])
  })

  test('Expect: 100-continue comes through', async t => {
    const { client, upstream } = await world(t)
    client.ask('POST', '/', 'Expect: 100-continue', 'Content-Length: 4')
    const there = await upstream.request()
    assert.deepEqual(valuesOf(there, 'expect'), ['100-continue'])
    assert.equal(client.received, '')
    there.send('HTTP/1.1 100 Continue\r\n\r\n')
    await client.until('HTTP/1.1 100 Continue\r\n\r\n')
    client.send('body')
    await there.until('\r\n\r\nbody')
    there.send(ok)
    await client.until('HTTP/1.1 200 OK')
  })

  test('103 Early Hints come through', async t => {
    const { client, upstream } = await world(t)
    client.ask('GET', '/')
    const there = (await upstream.request()).send('HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n')
    assert.match(await client.until('\r\n\r\n'), /^HTTP\/1\.1 103 Early Hints\r\nX-Hint: 1\r\n/)
    there.send(ok)
    await client.until('HTTP/1.1 200 OK')
  })

  for (const [what, method, answer] of [
    ['HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: "a"\r\n\r\n'],
    ['204', 'GET', 'HTTP/1.1 204 No Content\r\nETag: "a"\r\n\r\n'],
    ['304 with a Content-Length', 'GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: "a"\r\n\r\n'],
    ['304 without', 'GET', 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n'],
  ] as const)
    test(`${what} keeps its headers and has no body`, async t => {
      const { client, upstream } = await answered(t, answer, method)
      await client.until('\r\n\r\n')
      assert.deepEqual(valuesOf(client, 'etag'), ['"a"'])
      assert.deepEqual(valuesOf(client, 'content-length'), answer.includes('1234') ? ['1234'] : [])
      const before = client.received.length
      client.ask('GET', '/next')
      ;(await upstream.heard('/next')).send(ok)
      await client.until('\r\n\r\nok')
      assert.match(client.received.slice(before), /^HTTP\/1\.1 200 OK/)
    })

  test('a chunked upload streams', async t => {
    const { client, upstream } = await world(t)
    client.ask('POST', '/', 'Transfer-Encoding: chunked').send('5\r\nfirst\r\n')
    const there = await upstream.request()
    await there.until('first')
    client.send('6\r\nsecond\r\n0\r\n\r\n')
    await there.until('0\r\n\r\n')
    there.send(ok)
    await client.until('ok')
  })

  test('SSE arrives event by event', async t => {
    const { client, upstream } = await world(t)
    client.ask('GET', '/events', 'Accept: text/event-stream')
    const there = await upstream.request()
    there.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
    await client.until('text/event-stream')
    for (const event of ['one', 'two', 'three']) {
      there.send(`${(event.length + 8).toString(16)}\r\ndata: ${event}\n\n\r\n`)
      await client.until(`data: ${event}\n\n`)
    }
  })

  test('a slow reader slows the upstream instead of filling memory', async t => {
    const { client, upstream } = await world(t)
    client.socket.pause()
    client.ask('GET', '/')
    const there = await upstream.request()
    there.send(`HTTP/1.1 200 OK\r\nContent-Length: ${512 * megabyte}\r\n\r\n`)
    const sent = await fillUntilStalled(there.socket, Buffer.alloc(megabyte), 512 * megabyte)
    assert(sent < 64 * megabyte, `${sent} bytes were taken without a reader`)
  })

  for (const [what, lines] of [
    [
      'Content-Length together with Transfer-Encoding',
      ['Content-Length: 3', 'Transfer-Encoding: chunked', '', '0', '', ''],
    ],
    ['an obs-fold', ['X: a', ' folded', '', '']],
    ['a bare CR', ['X: a\rY: b', '', '']],
    ['two different lengths', ['Content-Length: 3', 'Content-Length: 4', '', 'abcd']],
  ] as const)
    test(`${what} is refused`, async t => {
      const { client, upstream, front } = await world(t)
      client.send([`POST ${front.at('/')} HTTP/1.1`, 'Host: a', ...front.credentials, ...lines].join('\r\n'))
      assert.match(await client.until('\r\n\r\n'), /^HTTP\/1\.1 400 /)
      assert.equal(upstream.connections, 0)
    })

  test('8 KiB of headers pass, 20 KiB are a 431', async t => {
    const { client, upstream, front } = await world(t)
    client.ask('GET', '/', `X-Long: ${'a'.repeat(8 * 1024)}`)
    ;(await upstream.request()).send(ok)
    await client.until('ok')
    const bursts = (await visit(t, front)).ask('GET', '/', `X-Long: ${'a'.repeat(20 * 1024)}`)
    assert.match(await bursts.until('\r\n\r\n'), /^HTTP\/1\.1 431 /)
    assert.equal(upstream.connections, 1)
  })
}
