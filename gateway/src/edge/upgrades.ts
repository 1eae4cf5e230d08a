import type http from 'node:http'
import type { Duplex } from 'node:stream'
import { ownHead, type Relay, type RelayResult, refuseUpgrade, relayErrors } from '@porthole/protocol/relay'
import { ulid } from 'ulid'
import type { Limits } from '../config.ts'
import { admit, type House } from '../house.ts'
import { Problem, problemOf } from '../problem.ts'
import { authorize, checkOrigin, sharedHashOf } from './access.ts'
import { demandPlain } from './plain-request.ts'
import { enterPort, type PortWay, portWayOf } from './port-access.ts'
import { portTargetOf } from './port-target.ts'
import { problemCodeOf, relayProblem } from './relay-problem.ts'
import { type EdgeRoute, parseEdgeTarget, sharedSocketPath, takesSocket } from './route.ts'
import { targetOf } from './target.ts'

/** The path inside the container that a socket is for; undefined: no socket lives there. */
const innerPath = ({ door, rest }: EdgeRoute): string | undefined => {
  const path = rest.split('?', 1)[0] ?? ''
  if (!takesSocket(door, path)) return undefined
  // Only an RPC's query is for the container: noVNC adds none, and DevTools takes none.
  return door === 'rpc' ? rest : path || '/'
}

/** What is written down for a client that left before it was answered. */
const [goneStatus] = relayErrors['client-gone']

/** Why a socket was not opened; null: the container would not have it, and its status says so. */
const codeOf = ({ code, status }: RelayResult): string | null =>
  code === undefined || code === 'client-gone' ? (code ?? null) : problemCodeOf({ code, status })

type Asked = Parameters<typeof targetOf>[4]
type Handler = (req: http.IncomingMessage, socket: Duplex, head: Buffer) => void

/**
 * WebSockets of the edge: authorised, then spliced to the runtime's own socket. Never rejects.
 *
 * @param limits `socketIdleMs`: silence both ways that ends a socket. Pings are not silence, so a still view stays.
 */
export const createUpgradeHandler = (house: House, relay: Relay, limits: Pick<Limits, 'socketIdleMs'>): Handler => {
  /** Whose runtime a target names. */
  const routeOf = async (req: http.IncomingMessage): Promise<EdgeRoute> => {
    const target = req.url ?? ''
    const route = parseEdgeTarget(target)
    if (route) return route
    if (target !== sharedSocketPath) throw new Problem('not-found')
    const caller = await admit(house, req.headers.authorization, 'runtimes:connect')
    return { door: 'view', ownerHash: sharedHashOf(caller.tenant), rest: '/websockify' }
  }

  /** Who may come in, and the way from there. */
  const toDoor = async (req: http.IncomingMessage) => {
    const route = await routeOf(req)
    const visit = await authorize(house, route.door, route.ownerHash, req.headers)
    checkOrigin(house, req.headers)
    const path = innerPath(route)
    if (path === undefined) throw new Problem('not-found')
    return { door: route.door, visit, find: (asked: Asked) => targetOf(house, visit, route.door, path, asked) }
  }

  const toPort = async (req: http.IncomingMessage, way: PortWay) => {
    const visit = await enterPort(house, way, req)
    if (visit.by === 'token') checkOrigin(house, req.headers)
    return { door: 'port' as const, visit, find: (asked: Asked) => portTargetOf(house, visit, way, asked) }
  }

  const open = async (req: http.IncomingMessage, requestId: string, gone: AbortSignal) => {
    demandPlain(req)
    const way = portWayOf(house, req)
    const { door, visit, find } = way ? await toPort(req, way) : await toDoor(req)
    const cut = new AbortController()
    const place = house.sockets.enter({
      ...visit,
      runtimeId: visit.runtime.id,
      door,
      kind: 'socket',
      close: () => cut.abort(),
    })
    try {
      const target = await find({ req, requestId, signal: AbortSignal.any([gone, cut.signal]) })
      place.leadsTo(target.runtime.generation)
      return { visit, door, target, place, cut: cut.signal }
    } catch (error) {
      place.leave()
      throw error
    }
  }

  /** What is written down of a socket when it has ended. */
  const follow = async (
    passed: Promise<RelayResult>,
    entry: Omit<Parameters<House['audit']['record']>[0], 'status' | 'code'>,
    line: Readonly<Record<string, string>>,
  ): Promise<void> => {
    const startedAt = house.now()
    const result = await passed
    if (result.status !== 101)
      house.audit.record({ ...entry, status: result.status || goneStatus, code: codeOf(result) })
    house.log.info({ ...line, ms: house.now() - startedAt, ...result }, 'edge socket closed')
  }

  const handle = async (req: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    const requestId = ulid()
    const gone = new AbortController()
    // Until the relay owns the socket: a client that leaves while its runtime starts ends the wait, not the process.
    const leave = () => gone.abort()
    socket.on('error', leave)
    socket.once('close', leave)
    let opened: Awaited<ReturnType<typeof open>>
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
    const { visit, door, target, place, cut } = opened
    const { runtime, ...rest } = target
    const { tenant, subject, tokenId } = visit
    const entry = {
      ...{ tenant, subject, tokenId: tokenId ?? null, requestId },
      action: `open ${door} socket`,
      target: `/${door}/${runtime.ownerHash}`,
      address: req.socket.remoteAddress ?? '',
    }
    const passed = relay.upgrade(req, socket, head, {
      ...rest,
      signal: cut,
      // A handshake carries no document: nothing to sandbox.
      answerHeaders: {},
      idleTimeoutMs: limits.socketIdleMs,
      problem: relayProblem(requestId),
      // An open socket is in the audit while it is open, not only when it has ended.
      onJoined: () => house.audit.record({ ...entry, status: 101, code: null }),
    })
    socket.off('error', leave)
    // Not awaited here: this would keep the request for as long as the socket.
    return follow(passed.finally(place.leave), entry, { requestId, tenant, runtime: visit.runtime.id, door })
  }

  return (req, socket, head) => {
    handle(req, socket, ownHead(head)).catch(error => {
      house.log.error({ err: error }, 'upgrade failed')
      socket.destroy()
    })
  }
}
