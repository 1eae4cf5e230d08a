import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { holdRequests } from './early.ts'

const listening = async (most?: number) => {
  const server = http.createServer()
  const open = holdRequests(server, most)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const send = (text: string) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(text)
    return socket
  }
  return { server, open, send, close: () => server.close().closeAllConnections() }
}
const arrived = (server: http.Server, event: 'request' | 'upgrade') =>
  once(server, event, { signal: AbortSignal.timeout(5000) })
const said = async (socket: net.Socket) =>
  String((await once(socket, 'data', { signal: AbortSignal.timeout(5000) }))[0])

const request = 'POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody'
const upgrade = 'GET /early HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst'

describe('what is asked before there is anybody to answer', () => {
  it('is answered once there is, with its body', async () => {
    const { server, open, send, close } = await listening()
    const here = arrived(server, 'request')
    const socket = send(request)
    await here
    server.on('request', async (req, res) => res.end(`heard ${String(await req.toArray())}`))
    open()
    assert.match(await said(socket), /200 OK.*heard body/s)
    close()
  })

  it('gets its socket, with what was sent behind', async () => {
    const { server, open, send, close } = await listening()
    const here = arrived(server, 'upgrade')
    const socket = send(upgrade)
    await here
    server.on('upgrade', (_req, socket, head) => socket.end(`HTTP/1.1 101 Yes\r\n\r\n${head}`))
    open()
    assert.match(await said(socket), /101 Yes.*first/s)
    close()
  })

  it('is forgotten when its client has gone, and a reset ends nothing', async () => {
    const { server, open, send, close } = await listening()
    let heard = 0
    for (const [event, text] of [
      ['request', request],
      ['upgrade', upgrade],
    ] as const) {
      const connected = once(server, 'connection')
      const here = arrived(server, event)
      const socket = send(text)
      const [accepted] = (await connected) as [net.Socket]
      await here
      const gone = once(accepted, 'close', { signal: AbortSignal.timeout(5000) })
      // A bare upgraded socket reads nothing, and so sees nothing of a reset, unless somebody reads.
      if (event === 'upgrade') accepted.resume()
      socket.resetAndDestroy()
      await gone.catch(error => assert.equal(error.code, 'ECONNRESET'))
    }
    server.on('request', () => (heard += 1)).on('upgrade', () => (heard += 1))
    open()
    assert.equal(heard, 0)
    close()
  })

  it('is not held beyond a number: the connection is closed', async () => {
    const { server, send, close } = await listening(1)
    const here = arrived(server, 'request')
    const first = send(request)
    await here
    const second = send(request)
    await once(second, 'close', { signal: AbortSignal.timeout(5000) })
    assert(!first.destroyed)
    close()
  })
})
