import net from 'node:net'
import tls, { type ConnectionOptions, TLSSocket } from 'node:tls'
import { RelayFault } from './errors.ts'
import type { Pin } from './pin.ts'
import type { Reader } from './reader.ts'

export interface ConnectOptions {
  timeoutMs: number
  /** TLS options by https origin. */
  tls?: ((origin: string) => ConnectionOptions | undefined) | undefined
  /** Only to the holder of this certificate, and so only over TLS. */
  pin?: Pin | undefined
}

/** Called once: with a `RelayFault`, or with the socket when it stands. */
export type Connected = (error: RelayFault | null, socket: net.Socket | null) => void

/** Opens one connection; with a reader, one that outlives the other side's FIN. Destroying the returned socket gives up. */
export type Connect = (origin: URL, reader: Reader | undefined, done: Connected) => net.Socket

/** Milliseconds of silence after which the kernel asks whether a peer is still there. */
export const probeAfterMs = 30_000

/** The one way to an upstream, for requests and for upgrades: TCP or TLS, without delay, with probes and a deadline. */
export function connector(options: ConnectOptions): Connect {
  const { pin } = options
  return (origin, reader, done) => {
    const secure = origin.protocol === 'https:'
    const host = origin.hostname.replace(/^\[|\]$/g, '')
    const address = {
      ...{ host, port: Number(origin.port) || (secure ? 443 : 80) },
      allowHalfOpen: reader !== undefined,
    }
    const socket = secure
      ? tls.connect({
          ...address,
          ...serverName(host),
          ALPNProtocols: ['http/1.1'],
          ...options.tls?.(origin.origin),
          ...pin?.options,
        })
      : net.connect({ ...address, ...(reader === undefined ? {} : { onread: reader.onread }) })
    // What comes over TLS comes in records of 16 KiB, and some after it was told to stop: Node's own buffers do.
    if (!secure) reader?.reads(socket)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, probeAfterMs)

    const settle = (error: RelayFault | null) => {
      clearTimeout(deadline)
      socket.off('error', onError)
      socket.off('close', onClose)
      socket.off(secure ? 'secureConnect' : 'connect', onConnect)
      if (error === null) return done(null, socket)
      // An error may follow the one that was reported, or the destroy: it has nobody left to tell.
      socket.on('error', () => {})
      socket.destroy()
      done(error, null)
    }
    const onError = (cause: Error) => {
      const isStranger = pin !== undefined && socket instanceof TLSSocket && Boolean(socket.authorizationError)
      settle(new RelayFault(isStranger ? 'upstream-unverified' : 'upstream-unreachable', { cause }))
    }
    const onClose = () => settle(new RelayFault('upstream-unreachable'))
    const onConnect = () =>
      settle(pin === undefined || pin.isHeldBy(socket) ? null : new RelayFault('upstream-unverified'))
    const deadline = setTimeout(() => settle(new RelayFault('connect-timeout')), options.timeoutMs)
    socket.on('error', onError)
    socket.on('close', onClose)
    socket.on(secure ? 'secureConnect' : 'connect', onConnect)
    return socket
  }
}

/** A server name is a DNS name, never an address (RFC 6066 section 3). */
const serverName = (host: string): { servername?: string } => (net.isIP(host) === 0 ? { servername: host } : {})
