import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { startChain, within } from './relay-kit.ts'

/** WebSockets end to end, for `hops` relays in a row. */
export function webSocketCases(hops: number): void {
  const joined = async (t: TestContext, deflate = false) => {
    const server = new WebSocketServer({
      port: 0,
      host: '127.0.0.1',
      perMessageDeflate: deflate,
      handleProtocols: offered => (offered.has('binary') ? 'binary' : false),
    })
    await once(server, 'listening')
    const chain = await startChain(t, hops, { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
    const accepted = once(server, 'connection')
    const client = new WebSocket(`ws://127.0.0.1:${chain.port}/x`, ['chat', 'binary'], { perMessageDeflate: deflate })
    t.after(() => {
      client.terminate()
      for (const socket of server.clients) socket.terminate()
      server.close()
    })
    const [[there]] = (await within(Promise.all([accepted, once(client, 'open')]), 'the socket')) as [
      [WebSocket],
      unknown,
    ]
    return { client, there, chain }
  }
  const next = async (socket: WebSocket, event: string) => await within(once(socket, event), event)

  test('the subprotocol that the upstream chose is the client’s', async t => {
    const { client } = await joined(t)
    assert.equal(client.protocol, 'binary')
  })

  for (const [from, to] of [
    ['client', 'there'],
    ['there', 'client'],
  ] as const) {
    test(`a close code and its reason pass from the ${from === 'client' ? 'client' : 'upstream'}`, async t => {
      const sockets = await joined(t)
      const closed = next(sockets[to], 'close')
      sockets[from].close(4321, 'because')
      const [code, reason] = await closed
      assert.equal(code, 4321)
      assert.equal(String(reason), 'because')
      assert.deepEqual((await sockets.chain.result()).code, undefined)
    })

    test(`pings pass from the ${from === 'client' ? 'client' : 'upstream'}, and their pongs come back`, async t => {
      const sockets = await joined(t)
      const [pinged, ponged] = [next(sockets[to], 'ping'), next(sockets[from], 'pong')]
      sockets[from].ping('beat')
      assert.equal(String((await pinged)[0]), 'beat')
      assert.equal(String((await ponged)[0]), 'beat')
    })

    test(`fragments from the ${from === 'client' ? 'client' : 'upstream'} are one message, and are not held`, async t => {
      const sockets = await joined(t)
      const message = next(sockets[to], 'message')
      sockets[from].send('one ', { fin: false })
      // A ping between two fragments shows that the first was passed on alone.
      const pinged = next(sockets[to], 'ping')
      sockets[from].ping()
      await pinged
      sockets[from].send('message', { fin: true })
      assert.equal(String((await message)[0]), 'one message')
    })
  }

  test('a compressed message passes as it is', async t => {
    const { client, there } = await joined(t, true)
    assert.match(client.extensions, /permessage-deflate/)
    const text = 'again and '.repeat(10_000)
    const message = next(there, 'message')
    client.send(text)
    assert.equal(String((await message)[0]), text)
  })

  test('a message of 8 MiB arrives whole', async t => {
    const { client, there } = await joined(t)
    const message = next(client, 'message')
    const data = Buffer.alloc(8 * 1024 * 1024, 'abcdefg')
    there.send(data)
    assert(data.equals((await message)[0] as Buffer))
  })
}
