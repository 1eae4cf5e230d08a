import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { headOf, type OpenFront, visit } from './front.ts'
import { fillUntilStalled, RawUpstream, slack, switching, within } from './relay-kit.ts'

const megabyte = 1024 * 1024
const aSecond = 1_000 * slack

/** Where proxies go wrong with WebSockets. */
export function edgeSocketCases(open: OpenFront): void {
  const world = async (t: TestContext) => {
    const upstream = await RawUpstream.start(t)
    const front = await open(t, upstream.origin)
    return { upstream, front, client: await visit(t, front) }
  }
  const joined = async (t: TestContext) => {
    const { client, upstream } = await world(t)
    client.upgrade()
    const there = (await upstream.request()).send(switching)
    await client.until('\r\n\r\n')
    return { client, there }
  }

  test('bytes that the upstream sends in the same packet as its 101, and bytes the client sends before the 101, are neither lost nor reordered', async t => {
    const { client, upstream } = await world(t)
    client.upgrade().send('early1')
    const there = await upstream.request()
    client.send('early2')
    assert.match(there.received, /\r\n\r\n$/, 'nothing of the client’s may come before the 101')
    there.send(`${switching}same-packet`).send('next')
    client.send('late')
    assert.match(await client.until('next'), /\r\n\r\nsame-packetnext$/)
    assert.match(await there.until('late'), /\r\n\r\nearly1early2late$/)
  })

  test('the subprotocol, close codes and reasons, pings and fragments pass end to end, unheld', async t => {
    const server = new WebSocketServer({
      ...{ port: 0, host: '127.0.0.1' },
      handleProtocols: offered => (offered.has('binary') ? 'binary' : false),
    })
    await once(server, 'listening')
    t.after(() => server.close())
    const front = await open(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    const headers = Object.fromEntries(front.credentials.map(line => line.split(': ', 2)))
    const accepted = once(server, 'connection')
    const client = new WebSocket(`ws://127.0.0.1:${front.port}${front.at('/ws')}`, ['chat', 'binary'], { headers })
    t.after(() => client.terminate())
    const [[there]] = (await within(Promise.all([accepted, once(client, 'open')]), 'the socket')) as [
      [WebSocket],
      unknown,
    ]
    assert.equal(client.protocol, 'binary')
    for (const [from, to] of [
      [client, there],
      [there, client],
    ] as const) {
      const next = (of: WebSocket, event: string) => within(once(of, event), event)
      const message = next(to, 'message')
      from.send('one ', { fin: false })
      // A ping between two fragments shows that the first was passed on alone.
      const [pinged, ponged] = [next(to, 'ping'), next(from, 'pong')]
      from.ping('beat')
      assert.deepEqual([String((await pinged)[0]), String((await ponged)[0])], ['beat', 'beat'])
      from.send('message', { fin: true })
      assert.equal(String((await message)[0]), 'one message')
    }
    const closed = within(once(there, 'close'), 'the close')
    client.close(4321, 'because')
    const [code, reason] = await closed
    assert.deepEqual([code, String(reason)], [4321, 'because'])
  })

  for (const [what, answer, status, body] of [
    ['200', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody', 200, 'body'],
    [
      '400 that keeps its connection',
      'HTTP/1.1 400 Bad\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody',
      ...([400, 'body'] as const),
    ],
    ['404 in chunks', 'HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n', 404, 'body'],
    ['426', 'HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n', 426, ''],
  ] as const)
    test(`an upgrade that the upstream answers with ${what} gets that status, its body, and a closed connection: a second request behind it never reaches the upstream`, async t => {
      const { client, upstream, front } = await world(t)
      client.upgrade().send(headOf(front, 'GET', '/smuggled-early'))
      const there = (await upstream.request()).send(answer)
      await client.until(body === '' ? '\r\n\r\n' : body)
      client.send(headOf(front, 'GET', '/smuggled-late'))
      const received = await client.untilOver()
      assert(received.startsWith(`HTTP/1.1 ${status} `))
      assert.match(received, /\r\nconnection: close\r\n/i)
      assert.equal(received.match(/HTTP\/1\.1/g)?.length, 1)
      await there.untilOver()
      assert(upstream.wires.every(wire => !wire.received.includes('smuggled')))
    })

  for (const [what, close] of [
    ['reset', (socket: Socket) => socket.resetAndDestroy()],
    ['close', (socket: Socket) => socket.destroy()],
  ] as const)
    for (const side of ['upstream', 'client'] as const)
      test(`a ${what} on the side of the ${side} reaches the other`, async t => {
        const { client, there } = await joined(t)
        const [dies, other] = side === 'client' ? [client, there] : [there, client]
        other.socket.allowHalfOpen = false
        close(dies.socket)
        await within(other.closed, 'the close', aSecond)
      })

  for (const side of ['client', 'upstream'] as const)
    test(`a half-close of the ${side} lets the reply after FIN through`, async t => {
      const { client, there } = await joined(t)
      const [asks, replies] = side === 'client' ? [client, there] : [there, client]
      asks.send('question').socket.end()
      await replies.until('question')
      await within(replies.ended, 'the FIN')
      replies.send('reply').socket.end()
      await asks.until('reply')
      await within(asks.closed, 'the end')
    })

  for (const reader of ['client', 'upstream'] as const)
    test(`${reader === 'client' ? 'a client' : 'an upstream'} that stops reading holds the writer back: no growth in memory`, async t => {
      const { client, there } = await joined(t)
      const [reads, writes] = reader === 'client' ? [client, there] : [there, client]
      reads.socket.pause()
      const sent = await fillUntilStalled(writes.socket, Buffer.alloc(megabyte), 512 * megabyte)
      assert(sent < 64 * megabyte, `${sent} bytes were taken without a reader`)
    })
}
