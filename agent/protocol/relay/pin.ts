import { createHash, timingSafeEqual, X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import tls, { type ConnectionOptions, TLSSocket } from 'node:tls'

/** The one certificate that a peer may show. */
export interface Pin {
  options: ConnectionOptions
  /** Whether a connection that stands is to the holder of that certificate. */
  isHeldBy(socket: Socket): boolean
}

/**
 * @param certificate PEM
 * @throws Error when it can't be read
 */
export function createPin(certificate: string): Pin {
  const pinned = digestOf(new X509Certificate(certificate).raw)
  const isPinned = (raw: Buffer | undefined): boolean => raw !== undefined && timingSafeEqual(digestOf(raw), pinned)
  return {
    options: {
      // Made once: reading a certificate costs more than the rest of what a connection needs.
      secureContext: tls.createSecureContext({ ca: certificate, minVersion: 'TLSv1.3' }),
      // Its names say nothing more: nobody else has its key.
      checkServerIdentity: (_, peer) =>
        isPinned(peer.raw) ? undefined : new Error('another certificate than the pinned'),
    },
    // Once more, because Node doesn't ask the above when a session is resumed: that shows no certificate, and is refused.
    isHeldBy: socket => socket instanceof TLSSocket && isPinned(socket.getPeerX509Certificate()?.raw),
  }
}

const digestOf = (der: Buffer): Buffer => createHash('sha256').update(der).digest()
