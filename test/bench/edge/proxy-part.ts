import { once } from 'node:events'
import { openSync, writeSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRelay, type RelayTarget, relayServerOptions } from '@porthole/protocol/relay'
import httpProxy from 'http-proxy'
import { uploadIdleTimeoutMs } from '../../../gateway/src/edge/pass-on.ts'
import { relayProblem } from '../../../gateway/src/edge/relay-problem.ts'
import { parseEdgeTarget } from '../../../gateway/src/edge/route.ts'
import { wayTo } from '../../../gateway/src/edge/target.ts'
import { createLog } from '../../../gateway/src/log.ts'
import { createRequestIds } from '../../../gateway/src/request-ids.ts'
import { servePart } from '../simulation/part.ts'

/** Proxies in a process of their own that stand beside the gateway: its relay without anything else, the same with all but the asking, and http-proxy. */

const listen = async (server: http.Server): Promise<number> => {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

type TargetOf = (req: http.IncomingMessage, upstream: number) => RelayTarget

const serveRelay = (targetOf: TargetOf, upstream: number, done: (req: http.IncomingMessage) => void = () => {}) => {
  const relay = createRelay()
  const server = http.createServer(relayServerOptions)
  server.on('request', (req, res) => void relay.http(req, res, targetOf(req, upstream)).then(() => done(req)))
  server.on('upgrade', (req, socket, head) => void relay.upgrade(req, socket, head, targetOf(req, upstream)))
  return listen(server)
}

/** As a gateway's, for callers that nobody asks who they are. */
const unaskedTarget = (hop: string): TargetOf => {
  const nextRequestId = createRequestIds(Date.now)
  const house = { base: 'http://127.0.0.1', publicHost: '127.0.0.1' }
  return (req, upstream) => {
    const route = parseEdgeTarget(req.url ?? '/')
    const requestId = nextRequestId()
    const { ownerHash = '', rest = '/' } = route ?? {}
    const host = { url: `http://127.0.0.1:${upstream}`, certificate: null }
    const runtime = { id: 'rt_01', generation: 1, ownerHash }
    const way = wayTo(house, { runtime, host, hop, port: 'rpc', rest, req, requestId })
    return { ...way, uploadIdleTimeoutMs, problem: relayProblem(requestId) }
  }
}

servePart({
  relay: ({ upstream }: { upstream: number }) =>
    serveRelay(req => ({ origin: `http://127.0.0.1:${upstream}`, path: req.url ?? '/', headers: {} }), upstream),
  unasked: ({ upstream, hop }: { upstream: number; hop: string }) => {
    const nowhere = openSync('/dev/null', 'w')
    const log = createLog('info', { write: line => void writeSync(nowhere, line) })
    return serveRelay(unaskedTarget(hop), upstream, ({ url }) => log.info({ url }, 'edge request'))
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
