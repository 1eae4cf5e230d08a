import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRelay, relayServerOptions } from '@porthole/protocol/relay'
import httpProxy from 'http-proxy'
import { servePart } from '../simulation/part.ts'

/** Proxies in a process of their own that stand beside the gateway: the house's relay without anything else, and http-proxy. */

const listen = async (server: http.Server): Promise<number> => {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

servePart({
  relay: ({ upstream }: { upstream: number }) => {
    const relay = createRelay()
    const server = http.createServer(relayServerOptions)
    const target = (req: http.IncomingMessage) => ({
      origin: `http://127.0.0.1:${upstream}`,
      path: req.url ?? '/',
      headers: {},
    })
    server.on('request', (req, res) => void relay.http(req, res, target(req)))
    server.on('upgrade', (req, socket, head) => void relay.upgrade(req, socket, head, target(req)))
    return listen(server)
  },
  'http-proxy': ({ upstream }: { upstream: number }) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 256 })
    const proxy = httpProxy.createProxyServer({ target: `http://127.0.0.1:${upstream}`, agent, ws: true })
    proxy.on('error', () => {})
    const server = http.createServer((req, res) => proxy.web(req, res))
    // An agent would keep a connection that has become a socket.
    const sockets = httpProxy.createProxyServer({ target: `http://127.0.0.1:${upstream}`, ws: true })
    sockets.on('error', () => {})
    server.on('upgrade', (req, socket, head) => sockets.ws(req, socket, head))
    return listen(server)
  },
})
