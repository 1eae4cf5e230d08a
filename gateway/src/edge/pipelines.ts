import type http from 'node:http'
import type { Duplex } from 'node:stream'
import { leftover } from '@porthole/protocol/relay'

type Requests = (req: http.IncomingMessage, res: http.ServerResponse) => unknown
type Upgrades = (req: http.IncomingMessage, socket: Duplex, head: Buffer) => void

/** Requests of one connection at a time. Clients that pipeline at all send a handful ahead. */
export const maxPipelined = 16

/**
 * Node hands on every request of a connection as soon as it is parsed, however many answers are still owed: one packet of
 * 64 KiB would be a thousand calls at a time. A connection with more than `most` is closed, and so is one that wants to be
 * a WebSocket while answers are owed on it: two writers would share the socket.
 */
export const boundPipelines = (most = maxPipelined) => {
  const owed = new WeakMap<Duplex, number>()
  const count = (socket: Duplex) => owed.get(socket) ?? 0
  return {
    requests:
      (listener: Requests): Requests =>
      (req, res) => {
        const { socket } = req
        if (socket.destroyed) return
        if (count(socket) >= most) {
          socket.destroy()
          return
        }
        owed.set(socket, count(socket) + 1)
        // Node loses what came in one packet behind an upgrade that it was told not to take: nothing may follow.
        if (req.headers.upgrade !== undefined) res.shouldKeepAlive = false
        res.once('close', () => {
          owed.set(socket, count(socket) - 1)
          // What is left of a body that nobody wanted is read for a moment: closing over it would reset the answer.
          leftover(req)
        })
        return listener(req, res)
      },
    upgrades:
      (listener: Upgrades): Upgrades =>
      (req, socket, head) => {
        if (count(socket) === 0) listener(req, socket, head)
        else socket.destroy()
      },
  }
}
