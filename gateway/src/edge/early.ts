import type http from 'node:http'
import type { Duplex } from 'node:stream'

const ignore = () => {}

/**
 * Holds what is asked of a server that listens, while those who answer are still being made: Node throws away a request
 * that nobody listens for, and its client waits for ever. The function it gives hands all of it on, to be called once those
 * who answer listen.
 *
 * @param most requests that are held; connections with more are closed
 */
export const holdRequests = (server: http.Server, most = 1000): (() => void) => {
  const held: (() => void)[] = []
  const hold = (socket: Duplex, hand: () => void) => {
    if (held.length < most) held.push(hand)
    else socket.destroy()
  }
  const onRequest = (req: http.IncomingMessage, res: http.ServerResponse) =>
    hold(req.socket, () => {
      if (!req.socket.destroyed) server.emit('request', req, res)
    })
  const onUpgrade = (req: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    // Node has taken its own listener off, and a reset would end the process.
    socket.on('error', ignore)
    hold(socket, () => {
      if (!socket.destroyed) server.emit('upgrade', req, socket, head)
      socket.off('error', ignore)
    })
  }
  server.on('request', onRequest).on('upgrade', onUpgrade)
  return () => {
    server.off('request', onRequest).off('upgrade', onUpgrade)
    for (const hand of held.splice(0)) hand()
  }
}
