import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fillUntilStalled, get, RawUpstream, startChain, switching, upgrade, type Wire, within } from './relay-kit.ts'

const held = () => process.getActiveResourcesInfo().filter(kind => kind === 'Timeout' || kind.endsWith('SocketWrap'))

// In a file of its own, and so in a process of its own: other tests' sockets close in their own time.
test('a relay that has been used and closed leaves no timer and no socket', async t => {
  const before = held()
  const upstream = await RawUpstream.start(t)
  const chain = await startChain(t, 1, { origin: upstream.origin })
  const clients = [await chain.connect(), await chain.connect(), await chain.connect()] as const
  clients[0].send(get('/plain'))
  ;(await upstream.heard('/plain')).send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  await clients[0].until('ok')
  clients[1].send(upgrade())
  ;(await upstream.heard('websocket')).send(switching)
  await clients[1].until('101')
  clients[2].send('POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n')
  ;(await upstream.heard('0\r\n\r\n')).send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  await clients[2].until('ok')
  for (const client of clients) client.socket.destroy()
  await chain.relays[0]?.close()
  await Promise.all(clients.map(client => within(client.closed, 'the close')))
  await Promise.all(upstream.wires.map(wire => wire.untilOver()))
  for (const wire of upstream.wires) wire.socket.destroy()
  await Promise.all(upstream.wires.map(wire => within(wire.closed, 'the close')))
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(held(), before)
})

const joined = async (client: Wire, upstream: RawUpstream) => {
  const there = (await upstream.request()).send(switching)
  await client.until('101')
  return there
}

for (const [how, end] of [
  [
    'a reset by the client',
    async (client: Wire, upstream: RawUpstream) => {
      await joined(client, upstream)
      client.socket.resetAndDestroy()
    },
  ],
  [
    'a reset by the upstream',
    async (client: Wire, upstream: RawUpstream) => {
      ;(await joined(client, upstream)).socket.resetAndDestroy()
    },
  ],
  [
    'a half-close from each side',
    async (client: Wire, upstream: RawUpstream) => {
      const there = await joined(client, upstream)
      client.socket.end()
      await within(there.ended, 'the FIN')
      there.socket.end()
    },
  ],
  [
    'a reset in the middle of backpressure',
    async (client: Wire, upstream: RawUpstream) => {
      const there = await joined(client, upstream)
      client.socket.pause()
      await fillUntilStalled(there.socket, Buffer.alloc(1024 * 1024), 64 * 1024 * 1024)
      client.socket.resetAndDestroy()
    },
  ],
  [
    'a client that does not wait for the answer',
    async (client: Wire, upstream: RawUpstream) => {
      await upstream.request()
      client.socket.resetAndDestroy()
    },
  ],
  [
    'an upstream that does not answer',
    async (_: Wire, upstream: RawUpstream) => {
      ;(await upstream.request()).socket.destroy()
    },
  ],
  [
    'a refusal',
    async (client: Wire, upstream: RawUpstream) => {
      ;(await upstream.request()).send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno')
      await client.untilOver()
    },
  ],
] as const)
  test(`a socket that ends with ${how} leaves no timer and no socket in a relay that goes on`, async t => {
    const before = held()
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, 1, { origin: upstream.origin })
    for (let n = 0; n < 2; n += 1) {
      const client = (await chain.connect()).send(upgrade())
      await end(client, upstream)
      await chain.result()
      client.socket.destroy()
      await within(client.closed, 'the close')
    }
    for (const wire of upstream.wires) wire.socket.destroy()
    await Promise.all(upstream.wires.map(wire => within(wire.closed, 'the close')))
    await new Promise(resolve => setImmediate(resolve))
    assert.deepEqual(held(), before)
  })
