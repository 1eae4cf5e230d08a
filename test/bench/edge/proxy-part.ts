import { once } from 'node:events'
import { openSync, writeSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { HostView, RuntimeRow } from '@porthole/db'
import { createRelay, type Relay, type RelayTarget, relayServerOptions } from '@porthole/protocol/relay'
import httpProxy from 'http-proxy'
import { connectScope } from '../../../gateway/src/edge/access.ts'
import { type Asked, createExpress } from '../../../gateway/src/edge/express.ts'
import { boundPipelines } from '../../../gateway/src/edge/pipelines.ts'
import { relayProblem } from '../../../gateway/src/edge/relay-problem.ts'
import { parseEdgeTarget } from '../../../gateway/src/edge/route.ts'
import { wayTo } from '../../../gateway/src/edge/target.ts'
import { createLog } from '../../../gateway/src/log.ts'
import { createRequestIds } from '../../../gateway/src/request-ids.ts'
import type { Caller } from '../../../gateway/src/tokens/caller.ts'
import { servePart } from '../simulation/part.ts'

/** Proxies in a process of their own that stand beside the gateway: its relay without anything else, the same with all but the asking, and http-proxy. */

const listen = async (server: http.Server): Promise<number> => {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A relay that is given what comes, and an upgrade's target. */
const serve = (
  relay: Relay,
  upgradeTarget: (req: http.IncomingMessage) => RelayTarget,
  onRequest: (req: http.IncomingMessage, res: http.ServerResponse) => unknown,
) => {
  const server = http.createServer(relayServerOptions)
  server.on('request', onRequest)
  server.on('upgrade', (req, socket, head) => void relay.upgrade(req, socket, head, upgradeTarget(req)))
  return listen(server)
}

/** A gateway's quick way as it is, for a caller, a route and a hop that are always known: nobody is asked, counted or ended. */
const nobodyAsked = (upstream: number, hop: string, log: Asked['log']): Asked => {
  const caller: Caller = {
    ...{ tenant: 't0', subject: 'u', scopes: new Set([connectScope]) },
    ...{ owner: undefined, tokenId: undefined, issuerId: undefined, expiresAt: 2 ** 40 },
  }
  const runtime = { id: 'rt_01', generation: 1, state: 'running', hostId: 'host_01', workUntil: null } as RuntimeRow
  const host = { id: 'host_01', url: `http://127.0.0.1:${upstream}`, certificate: null, live: true } as HostView
  const place = { leadsTo: () => {}, leave: () => {} }
  return {
    base: 'http://127.0.0.1',
    publicHost: '127.0.0.1',
    doorman: { known: () => caller },
    hops: { known: () => hop },
    portHosts: { read: () => undefined },
    routes: { knownHost: () => host, knownRuntime: () => runtime, touch: () => {} },
    sockets: { enter: () => place },
    log,
  }
}

const serveUnasked = ({ upstream, hop, log: file }: { upstream: number; hop: string; log: string }) => {
  const fd = openSync(file, 'a')
  const house = nobodyAsked(upstream, hop, createLog('info', { write: line => void writeSync(fd, line) }))
  const relay = createRelay()
  const nextRequestId = createRequestIds(Date.now)
  const passOn = createExpress(house, relay, nextRequestId)
  const upgradeTarget = (req: http.IncomingMessage): RelayTarget => {
    const requestId = nextRequestId()
    const { ownerHash = '', rest = '/' } = parseEdgeTarget(req.url ?? '/') ?? {}
    const host = { url: `http://127.0.0.1:${upstream}`, certificate: null }
    const way = { runtime: { id: 'rt_01', generation: 1, ownerHash }, host, hop, port: 'view', rest, req, requestId }
    return { ...wayTo(house, way), problem: relayProblem(requestId) }
  }
  return serve(
    relay,
    upgradeTarget,
    boundPipelines().requests((req, res) => passOn(req, res) || res.writeHead(500).end()),
  )
}

servePart({
  relay: ({ upstream }: { upstream: number }) => {
    const relay = createRelay()
    const targetOf = (req: http.IncomingMessage) => ({
      ...{ origin: `http://127.0.0.1:${upstream}`, path: req.url ?? '/', headers: {} },
    })
    return serve(relay, targetOf, (req, res) => relay.http(req, res, targetOf(req)))
  },
  unasked: serveUnasked,
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
