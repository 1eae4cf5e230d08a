import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get, patience, RawUpstream, startChain, upgrade, within } from './relay-kit.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const post = (...headers: string[]): string => ['POST /up HTTP/1.1', 'Host: a', ...headers, '', ''].join('\r\n')
const chunk = (bytes: number): string => `${bytes.toString(16)}\r\n${'a'.repeat(bytes)}\r\n`
const chunks = Array.from({ length: 32 }, () => chunk(64 * 1024))

/** What few upstreams and clients do, and is theirs to do, for `hops` relays in a row. */
export function rareCases(hops: number): void {
  for (const [name, first, rest] of [
    ['in chunks', 'Transfer-Encoding: chunked', [...chunks, '0\r\n\r\n']],
    ['of a client that wants to close', `Content-Length: ${32 * 64 * 1024}\r\nConnection: close`, null],
  ] as const)
    test(`an early answer to an upload ${name} comes through while the rest is still sent`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, hops, { origin: upstream.origin })
      for (let round = 0; round < 5; round += 1) {
        const client = (await chain.connect()).send(post(first))
        const body = rest ?? Array.from({ length: 32 }, () => 'a'.repeat(64 * 1024))
        client.send(body[0] ?? '')
        const there = await upstream.request()
        there.send('HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig')
        for (const part of body.slice(1)) client.send(part)
        assert.match(await client.until('big'), /^HTTP\/1\.1 413 /)
        if (rest === null) await client.untilOver()
      }
    })

  for (const [name, head] of [
    ['with a protocol', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
    ['without one', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
  ] as const)
    test(`a 101 ${name} that nobody has asked for is a 502 at once`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, hops, { origin: upstream.origin })
      for (const asked of [get(), post('Transfer-Encoding: chunked')]) {
        const client = (await chain.connect()).send(asked)
        const there = await upstream.request()
        there.send(head)
        assert.match(await client.until('\r\n\r\n'), /^HTTP\/1\.1 502 /)
        assert.notEqual((await chain.result(hops - 1)).code, undefined)
        await there.untilOver()
        client.socket.destroy()
      }
    })

  test('a 101 without a protocol to an upgrade is a 502', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(upgrade())
    ;(await upstream.request()).send('HTTP/1.1 101 Switching Protocols\r\n\r\n')
    assert.match(await client.untilOver(), /^HTTP\/1\.1 502 /)
  })

  test('bytes of headers that are not ASCII come through as they are, with their body or before it', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const bytes = '\xc3\xa9 \xe9'
    const client = (await chain.connect()).send(post('Transfer-Encoding: chunked', `X-Name: ${bytes}`))
    const there = await upstream.request()
    assert(there.received.includes(`X-Name: ${bytes}\r\n`), there.received)
    there.send(`HTTP/1.1 200 OK\r\nX-Name: ${bytes}\r\nTransfer-Encoding: chunked\r\n\r\n`)
    const head = await client.until('\r\n\r\n')
    assert(head.includes(`X-Name: ${bytes}\r\n`), head)
    there.send('0\r\n\r\n')
    client.send('0\r\n\r\n')
    await client.until('0\r\n\r\n')
    client.send(get('/again'))
    ;(await upstream.heard('/again')).send(`HTTP/1.1 200 OK\r\nX-Again: ${bytes}\r\nContent-Length: 2\r\n\r\nok`)
    assert(client.received.includes(`X-Again: ${bytes}\r\n`) || (await client.until(`X-Again: ${bytes}\r\n`)))
  })

  for (const [name, request, answer, body] of [
    [
      'to a HEAD',
      'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nContent-Length: 2\r\n\r\n',
      '',
    ],
    ['of 304', get(), 'HTTP/1.1 304 Not Modified\r\nTrailer: X-Sum\r\n\r\n', ''],
    ['with a length', get(), 'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nContent-Length: 2\r\n\r\nok', 'ok'],
    [
      'to HTTP/1.0',
      'GET / HTTP/1.0\r\nHost: a\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n',
      'ok',
    ],
  ] as const)
    test(`an answer ${name} that announces trailers comes through without them`, async t => {
      const upstream = await RawUpstream.start(t)
      const chain = await startChain(t, hops, { origin: upstream.origin })
      const client = (await chain.connect()).send(request)
      ;(await upstream.request()).send(answer)
      const received = await client.until(`\r\n\r\n${body}`)
      assert.match(received, /^HTTP\/1\.1 (200|304) /)
      assert.doesNotMatch(received, /trailer|x-sum/i)
      assert.equal((await chain.result()).code, undefined)
    })

  test('a head that cannot be written is a 502 with its own words', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin })
    const client = (await chain.connect()).send(get())
    ;(await upstream.request()).send('HTTP/1.1 099 Fine\r\nContent-Length: 2\r\n\r\nok')
    assert.match(await client.until('\r\n\r\n'), /^HTTP\/1\.1 502 Bad Gateway\r\n/)
  })

  test('an upstream that would keep its connection for long is let go when we say', async t => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin, relay: { keepAliveMs: 1500 } })
    const client = (await chain.connect()).send(get())
    const there = (await upstream.request()).send(ok.replace('\r\n\r\n', '\r\nKeep-Alive: timeout=600\r\n\r\n'))
    await client.until('ok')
    await within(there.untilOver(), 'the end of the idle connection', patience / 2)
  })
}
