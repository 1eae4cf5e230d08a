import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { it } from 'node:test'
import { Hono } from 'hono'
import { createAgentServer, listen } from './server.ts'

const upgradeOf = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`

it('an upgrade that is for nobody is a 404, and a reset behind it ends nothing', async () => {
  const server = createAgentServer({ app: new Hono(), edge: () => undefined, relay: { deferContinue: () => {} } })
  const port = await listen(server, '127.0.0.1', 0)
  try {
    for (let n = 0; n < 20; n++) {
      const socket = net.connect(port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write(upgradeOf('/x'))
      socket.resetAndDestroy()
    }
    const socket = net.connect(port, '127.0.0.1')
    socket.write(upgradeOf('/edge/x'))
    const [head] = await once(socket, 'data')
    assert.match(String(head), /^HTTP\/1\.1 404 /)
    socket.destroy()
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
