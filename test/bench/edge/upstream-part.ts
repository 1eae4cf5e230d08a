import { createHash } from 'node:crypto'
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { servePart } from '../simulation/part.ts'

/**
 * What stands behind the proxies: a server of raw WebSockets that says as little as possible by itself. `/websockify`
 * sends back what comes; everything else sends frames of 64 KiB for as long as somebody reads.
 */

const frame = Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Buffer.alloc(65_536)])
const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11' // RFC 6455, section 1.3

const flood = (socket: Socket) => {
  const fill = () => {
    while (!socket.destroyed && socket.write(frame));
  }
  socket.on('drain', fill)
  fill()
}

const answer = (socket: Socket, head: string) => {
  const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1] ?? ''
  const accept = createHash('sha1')
    .update(key + magic)
    .digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
}

const server = net.createServer({ noDelay: true }, socket => {
  let head = ''
  socket.on('error', () => socket.destroy())
  socket.on('data', function greet(chunk: Buffer) {
    head += chunk.toString('latin1')
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    socket.off('data', greet)
    answer(socket, head)
    if (!/^GET \S*websockify/.test(head)) return flood(socket)
    const early = head.slice(end + 4)
    if (early) socket.write(early, 'latin1')
    socket.pipe(socket)
  })
})

servePart({
  listen: async () => {
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  },
})
