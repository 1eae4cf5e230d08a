import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fillUntilStalled, get, RawUpstream, startChain, switching, upgrade, within } from './relay-kit.ts'

const megabyte = 1024 * 1024
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** The same over TLS on every side, for `hops` relays in a row. */
export function tlsCases(hops: number): void {
  const secured = async (t: Parameters<typeof startChain>[0], sent: string) => {
    const upstream = await RawUpstream.start(t, true)
    const chain = await startChain(t, hops, { origin: upstream.origin, secure: true })
    const client = (await chain.connect()).send(sent)
    return { upstream, chain, client, there: await upstream.request() }
  }
  const joined = async (t: Parameters<typeof startChain>[0]) => {
    const sides = await secured(t, upgrade())
    sides.there.send(switching)
    await sides.client.until('\r\n\r\n')
    return sides
  }

  test('over TLS requests of different Hosts share a connection', async t => {
    const { client, there, upstream } = await secured(t, get('/1'))
    there.send(ok)
    await client.until('ok')
    client.forget()
    client.send('GET /2 HTTP/1.1\r\nHost: other.example\r\n\r\n')
    await there.until('other.example')
    there.send(ok)
    await client.until('ok')
    assert.equal(upstream.connections, 1)
  })

  test('an upstream with another certificate is a 502', async t => {
    const upstream = await RawUpstream.start(t, true)
    const chain = await startChain(t, hops, { origin: upstream.origin, relay: { tls: () => undefined } })
    const client = (await chain.connect()).send(get())
    assert.match(await client.until('"upstream-unreachable"'), /^HTTP\/1\.1 502 /)
    assert.equal(upstream.connections, 0)
  })

  test('over TLS early bytes are neither lost nor reordered', async t => {
    const { client, there } = await secured(t, `${upgrade()}early1`)
    client.send('early2')
    there.send(`${switching}same-packet`).send('next')
    assert.match(await client.until('next'), /\r\n\r\nsame-packetnext$/)
    client.send('late')
    assert.match(await there.until('late'), /\r\n\r\nearly1early2late$/)
  })

  test("over TLS a half-close of either side lets the other's reply through", async t => {
    const first = await joined(t)
    first.client.send('question').socket.end()
    await first.there.until('question')
    await within(first.there.ended, 'the FIN')
    first.there.send('reply').socket.end()
    await first.client.until('reply')

    const second = await joined(t)
    second.there.send('question').socket.end()
    await second.client.until('question')
    await within(second.client.ended, 'the FIN')
    second.client.send('reply').socket.end()
    await second.there.until('reply')
  })

  test('over TLS a death of either side reaches the other within a second', async t => {
    const first = await joined(t)
    first.client.socket.allowHalfOpen = false
    first.there.socket.destroy()
    await within(first.client.closed, 'the close', 1_000)

    const second = await joined(t)
    second.there.socket.allowHalfOpen = false
    second.client.socket.destroy()
    await within(second.there.closed, 'the close', 1_000)
  })

  test('over TLS an upgrade that is refused is the end of the connection', async t => {
    const { client, there } = await secured(t, upgrade() + get('/smuggled'))
    there.send('HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nbody')
    assert.match(await client.untilOver(), /^HTTP\/1\.1 403 .*\r\n\r\nbody$/s)
    await there.untilOver()
    assert.doesNotMatch(there.received, /smuggled/)
  })

  test('over TLS an upstream that dies in the middle of a body ends the client’s connection visibly', async t => {
    const { client, there } = await secured(t, get())
    there.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n')
    await client.until('half')
    there.socket.destroy()
    assert.doesNotMatch(await client.untilOver(), /\r\n0\r\n/)
  })

  test('over TLS a client that stops reading holds the upstream back', async t => {
    const { client, there } = await joined(t)
    client.socket.pause()
    const sent = await fillUntilStalled(there.socket, Buffer.alloc(megabyte), 512 * megabyte)
    assert(sent < 64 * megabyte, `${sent} bytes were taken without a reader`)
  })
}
