import http from 'node:http'
import type { Duplex } from 'node:stream'
import { sendProblem } from './answer.ts'
import { type AnySocket, asSocket } from './socket.ts'
import type { RelayProblem } from './types.ts'

/** Milliseconds a client has for closing its own side after its last answer. */
const lingerMs = 1_000

/**
 * A response on the socket of an upgrade that is not going to happen. Once it is sent the connection is closed; whatever
 * the client sends behind its upgrade is discarded, never parsed.
 */
export function responseOn(req: http.IncomingMessage, socket: AnySocket): http.ServerResponse {
  const res = new http.ServerResponse(req)
  res.shouldKeepAlive = false
  res.on('error', () => {})
  if (socket.destroyed) {
    res.destroy()
    return res
  }
  try {
    res.assignSocket(socket)
  } catch {
    // Answers to requests before the upgrade are still owed on it.
    socket.destroy()
    res.destroy()
    return res
  }
  socket.on('drain', () => res.emit('drain'))
  res.once('finish', () => {
    res.detachSocket(socket)
    linger(socket)
  })
  return res
}

/** Answers an upgrade with a status and a body, and closes the connection. For refusals before the relay is asked. */
export function refuseUpgrade(req: http.IncomingMessage, socket: Duplex, status: number, answer: RelayProblem): void {
  const client = asSocket(socket)
  client.on('error', () => {})
  sendProblem(responseOn(req, client), status, answer)
}

/** FIN, then a moment for the client to read: closing over unread bytes would reset the connection under the answer. */
function linger(socket: AnySocket): void {
  const deadline = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(deadline))
  socket.once('end', () => socket.destroySoon())
  socket.end()
  socket.resume()
}
