import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** TCP, or TLS over it: what Node's servers hand to an `upgrade` listener. */
export type AnySocket = Socket

/** @throws TypeError for anything else: the relay needs half-close, probes and resets. */
export function asSocket(stream: Duplex): AnySocket {
  if (stream instanceof Socket) return stream
  throw new TypeError('An upgrade can only be relayed on a net.Socket or tls.TLSSocket')
}

/**
 * What a client has sent behind the head of its upgrade, by itself: Node's is a piece of the buffer that the whole head came in,
 * which would stay for as long as the socket.
 */
export function ownHead(head: Buffer): Buffer {
  return Buffer.from(head)
}
