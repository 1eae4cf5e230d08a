import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { ownHead, type Relay, refuseUpgrade, relayServerOptions } from '@porthole/protocol/relay'
import type { Hono } from 'hono'
import type { Certificate } from './certificate.ts'
import { type Edge, edgePrefix } from './edge.ts'

/** Room for what the gateway adds to headers that it has already found small enough. */
const maxHeaderSize = 32 * 1024

/** Milliseconds for TLS's handshake: as long as the gateway waits. A close waits for those under way. */
const handshakeMs = 5000
/** Milliseconds that exchanges under way get to end by themselves. */
const closeMs = 3000

/**
 * One listener for commands and edge traffic; the edge gets requests and sockets raw.
 * @param deps.certificate what TLS is served with; absent: plain HTTP
 */
export const createAgentServer = (deps: {
  app: Hono
  edge: () => Edge | undefined
  relay: Pick<Relay, 'deferContinue'>
  certificate?: Certificate | undefined
}): http.Server => {
  const commands = getRequestListener(deps.app.fetch)
  const options = { ...relayServerOptions, maxHeaderSize }
  const server = deps.certificate
    ? https.createServer({ ...options, ...tlsOptions(deps.certificate), handshakeTimeout: handshakeMs })
    : http.createServer(options)
  const isEdge = (req: http.IncomingMessage): boolean => req.url?.startsWith(edgePrefix) ?? false
  server.on('request', (req, res) => {
    const edge = deps.edge()
    if (edge && isEdge(req)) void edge.http(req, res)
    else void commands(req, res)
  })
  server.on('upgrade', (req, socket, head) => {
    const edge = deps.edge()
    if (edge && isEdge(req)) void edge.upgrade(req, socket, ownHead(head))
    // Never on the bare socket: Node has taken its own error listener off, and a reset would end the process.
    else refuseUpgrade(req, socket, 404, { headers: {}, body: '' })
  })
  deps.relay.deferContinue(server, isEdge)
  return server
}

const tlsOptions = ({ key, cert }: Certificate) => ({ key, cert, minVersion: 'TLSv1.3' }) as const

/** Puts another certificate in the place of the one that TLS is served with, for connections from now on. */
export const serveWith = (server: http.Server, certificate: Certificate): void => {
  if (server instanceof https.Server) server.setSecureContext(tlsOptions(certificate))
}

/** Resolves with the port once the server listens. */
export const listen = async (server: http.Server, host: string, port: number): Promise<number> => {
  const listening = Promise.withResolvers<void>()
  server.once('listening', listening.resolve).once('error', listening.reject)
  server.listen(port, host)
  await listening.promise
  server.off('error', listening.reject)
  return (server.address() as AddressInfo).port
}

/** Takes nothing more, and ends what is under way when it has had its time. */
export const closeServer = async (server: http.Server, relay: Pick<Relay, 'close'>): Promise<void> => {
  const closed = new Promise<void>(resolve => {
    server.close(() => resolve())
  })
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), closeMs)
  await relay.close()
  await closed
  clearTimeout(timer)
}
