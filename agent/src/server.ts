import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { type Relay, refuseUpgrade, relayServerOptions } from '@porthole/protocol/relay'
import type { Hono } from 'hono'
import { type Edge, edgePrefix } from './edge.ts'

/** Room for what the gateway adds to headers that it has already found small enough. */
const maxHeaderSize = 32 * 1024

/** One listener for commands and edge traffic; the edge gets requests and sockets raw. */
export const createAgentServer = (deps: {
  app: Hono
  edge: () => Edge | undefined
  relay: Pick<Relay, 'deferContinue'>
}): http.Server => {
  const commands = getRequestListener(deps.app.fetch)
  const server = http.createServer({ ...relayServerOptions, maxHeaderSize })
  const isEdge = (req: http.IncomingMessage): boolean => req.url?.startsWith(edgePrefix) ?? false
  server.on('request', (req, res) => {
    const edge = deps.edge()
    if (edge && isEdge(req)) void edge.http(req, res)
    else void commands(req, res)
  })
  server.on('upgrade', (req, socket, head) => {
    const edge = deps.edge()
    if (edge && isEdge(req)) void edge.upgrade(req, socket, head)
    // Never on the bare socket: Node has taken its own error listener off, and a reset would end the process.
    else refuseUpgrade(req, socket, 404, { headers: {}, body: '' })
  })
  deps.relay.deferContinue(server, isEdge)
  return server
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
