import type http from 'node:http'
import type { Duplex } from 'node:stream'
import { type Relay, refuseUpgrade } from '@porthole/protocol/relay'
import { ulid } from 'ulid'
import { admit, type House } from '../house.ts'
import { Problem, problemOf } from '../problem.ts'
import { authorize, checkOrigin, type Door, sharedHashOf, type Visit } from './access.ts'
import { demandPlain } from './plain-request.ts'
import { relayProblem } from './relay-problem.ts'
import { type EdgeRoute, parseEdgeTarget, sharedSocketPath, takesSocket } from './route.ts'
import { targetOf } from './target.ts'

/** Milliseconds of silence both ways after which a spliced socket counts as dead; pings count as traffic. */
const idleTimeoutMs = 2 * 3600 * 1000

/** The path inside the container that a socket is for; undefined: no socket lives there. */
const innerPath = ({ door, rest }: EdgeRoute): string | undefined => {
  const path = rest.split('?', 1)[0] ?? ''
  if (!takesSocket(door, path)) return undefined
  // Only an RPC's query is for the container: noVNC adds none, and DevTools takes none.
  return door === 'rpc' ? rest : path || '/'
}

const portOf: Record<Door, string> = { view: 'view', cdp: 'cdp', rpc: 'rpc' }

type Handler = (req: http.IncomingMessage, socket: Duplex, head: Buffer) => void

/** WebSockets of the edge: authorised, then spliced to the runtime's own socket. Never rejects. */
export const createUpgradeHandler = (house: House, relay: Relay): Handler => {
  /** Whose runtime a target names. */
  const routeOf = async (req: http.IncomingMessage): Promise<EdgeRoute> => {
    const target = req.url ?? ''
    const route = parseEdgeTarget(target)
    if (route) return route
    if (target !== sharedSocketPath) throw new Problem('not-found')
    const caller = await admit(house, req.headers.authorization, 'runtimes:connect')
    return { door: 'view', ownerHash: sharedHashOf(caller.tenant), rest: '/websockify' }
  }

  const open = async (req: http.IncomingMessage, requestId: string, signal: AbortSignal) => {
    demandPlain(req)
    const route = await routeOf(req)
    const visit = await authorize(house, route.door, route.ownerHash, req.headers)
    checkOrigin(house, req.headers)
    const path = innerPath(route)
    if (path === undefined) throw new Problem('not-found')
    const target = await targetOf(house, visit, portOf[route.door], path, { req, requestId, signal })
    return { visit, door: route.door, target }
  }

  const handle = async (req: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    const requestId = ulid()
    const gone = new AbortController()
    // Until the relay owns the socket: a client that leaves while its runtime starts ends the wait, not the process.
    const leave = () => gone.abort()
    socket.on('error', leave)
    socket.once('close', leave)
    let opened: { visit: Visit; door: Door; target: Awaited<ReturnType<typeof targetOf>> }
    try {
      opened = await open(req, requestId, gone.signal)
    } catch (error) {
      const problem = problemOf(error)
      if (problem.code === 'internal') house.log.error({ err: error, requestId }, 'upgrade failed')
      refuseUpgrade(req, socket, problem.status, {
        headers: problem.toHeaders(requestId),
        body: JSON.stringify(problem.toBody(requestId)),
      })
      return
    } finally {
      socket.off('close', leave)
    }
    const { visit, door, target } = opened
    const { runtime, ...rest } = target
    const startedAt = house.now()
    const cut = new AbortController()
    const forget = house.sockets.add({
      ...visit,
      runtimeId: runtime.id,
      generation: runtime.generation,
      close: () => cut.abort(),
    })
    const passed = relay.upgrade(req, socket, head, {
      ...rest,
      signal: cut.signal,
      // A handshake carries no document: nothing to sandbox.
      answerHeaders: {},
      idleTimeoutMs,
      problem: relayProblem(requestId),
    })
    house.audit.record({
      tenant: visit.tenant,
      subject: visit.subject,
      tokenId: visit.tokenId ?? null,
      action: `open ${door} socket`,
      target: `/${door}/${runtime.ownerHash}`,
      status: 101,
      code: null,
      address: req.socket.remoteAddress ?? '',
      requestId,
    })
    const result = await passed.finally(forget)
    socket.off('error', leave)
    house.log.info(
      { requestId, tenant: visit.tenant, runtime: visit.runtime.id, door, ms: house.now() - startedAt, ...result },
      'edge socket closed',
    )
  }

  return (req, socket, head) => {
    handle(req, socket, head).catch(error => {
      house.log.error({ err: error }, 'upgrade failed')
      socket.destroy()
    })
  }
}
