import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get, RawUpstream, startChain, switching, upgrade, within } from './relay-kit.ts'

// In a file of its own, and so in a process of its own: other tests' sockets close in their own time.
test('a relay that has been used and closed leaves no timer and no socket', async t => {
  const held = () => process.getActiveResourcesInfo().filter(kind => kind === 'Timeout' || kind.endsWith('SocketWrap'))
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
