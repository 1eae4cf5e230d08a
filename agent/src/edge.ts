import type http from 'node:http'
import type { Duplex } from 'node:stream'
import { accessHeader, hopHeader, keyHeader, problemHeader } from '@porthole/protocol'
import {
  leftover,
  outliveUpload,
  type Relay,
  type RelayResult,
  type RelayTarget,
  refuseUpgrade,
} from '@porthole/protocol/relay'
import type { Logger } from 'pino'
import type { Addresses, Reachable } from './addresses.ts'
import type { GatewayTokens } from './gateway-tokens.ts'
import { stale } from './generations.ts'
import { AgentError, problemOf, toAgentError } from './problems.ts'
import { isHealthLook, type Uses } from './uses.ts'
import { SentBytes } from './uses-frames.ts'

/** Edge traffic: from the gateway to a port of a container. Neither method rejects. */
export type Edge = {
  http(req: http.IncomingMessage, res: http.ServerResponse): Promise<void>
  upgrade(req: http.IncomingMessage, socket: Duplex, head: Buffer): Promise<void>
}

export const edgePrefix = '/edge/'
const ownHeaders = 'x-porthole-'
/** Read as it came: nothing in the path is decoded or normalised, so it can't turn into another runtime's. */
const route = /^\/edge\/(rt_[0-9A-HJKMNP-TV-Z]{26})\/([1-9]\d{0,15})\/([a-z][a-z0-9-]{0,30})(\/.*)?$/s

type Way = { runtimeId: string; generation: number; port: string; path: string }

export const createEdge = (deps: {
  tokens: Pick<GatewayTokens, 'hop'>
  addresses: Pick<Addresses, 'find' | 'suspect'>
  relay: Pick<Relay, 'http' | 'upgrade'>
  /** Absent: nobody asks when a runtime was used. */
  uses?: Pick<Uses, 'enter'>
  log: Logger
}): Edge => {
  const { tokens, addresses, relay, uses, log } = deps

  /** Who may go where, decided anew for every request and upgrade. */
  const admit = async (req: http.IncomingMessage): Promise<{ way: Way; target: RelayTarget }> => {
    const way = parse(req.url ?? '')
    const token = req.headers[hopHeader]
    const hop = await tokens.hop(typeof token === 'string' ? token : undefined)
    if (hop.runtimeId !== way.runtimeId || hop.generation !== way.generation) throw new AgentError('unauthorized')
    const { origins, key, ended } = await ofGeneration(way)
    const origin = Object.hasOwn(origins, way.port) ? origins[way.port] : undefined
    if (origin === undefined) throw new AgentError('not-found', { detail: 'the runtime has no port of that name' })
    const target: RelayTarget = {
      origin,
      path: way.path,
      headers: {
        host: new URL(origin).host,
        [accessHeader]: hop.access,
        ...(key === undefined ? {} : { [keyHeader]: key }),
        // A program that compares a page's Origin with its Host would else refuse its own pages.
        ...(isOwnPage(req.headers) ? { origin } : {}),
      },
      drop: isOwn,
      forwarded: 'keep',
      answerHeader: (name, value) => {
        if (isOwn(name)) return undefined
        return name === 'location' || name === 'content-location' ? withoutOrigin(value, origin) : value
      },
      signal: ended,
      problem: unreachable,
    }
    return { way, target }
  }

  /** What is remembered may be the generation before this one. */
  const ofGeneration = async ({ runtimeId, generation }: Way): Promise<Reachable> => {
    const remembered = await addresses.find(runtimeId)
    if (remembered.recorded.generation === generation) return remembered
    addresses.suspect(runtimeId)
    const found = await addresses.find(runtimeId)
    if (found.recorded.generation !== generation) throw stale()
    return found
  }

  const settle = (way: Way, result: RelayResult, startedAt: number, kind: 'request' | 'socket'): void => {
    if (result.code === 'upstream-unreachable' || result.code === 'connect-timeout') addresses.suspect(way.runtimeId)
    const { runtimeId: runtime, generation, port } = way
    const ms = Math.round(performance.now() - startedAt)
    log.debug({ runtime, generation, port, kind, ms, ...result }, 'edge')
  }

  /** What a socket's container is used for, until it has ended. */
  const follow = async (passed: Promise<RelayResult>, way: Way, sent: SentBytes): Promise<void> => {
    const startedAt = performance.now()
    const { runtimeId, port } = way
    const leave = uses?.enter({ runtimeId, port, kind: 'socket', bytes: () => sent.count })
    try {
      settle(way, await passed, startedAt, 'socket')
    } finally {
      leave?.()
    }
  }

  const refuse = (error: unknown): AgentError => {
    const problem = toAgentError(error)
    if (problem.code === 'internal') log.error({ err: error }, 'edge failed')
    else log.debug({ code: problem.code }, 'edge refused')
    return problem
  }

  return {
    http: async (req, res) => {
      const startedAt = performance.now()
      try {
        const { way, target } = await admit(req)
        const { runtimeId, port, path } = way
        const used = isHealthLook(req.method, port, path) ? undefined : uses
        const leave = used?.enter({ runtimeId, port, kind: 'request', bytes: () => req.socket.bytesRead })
        const result = await relay.http(req, res, target)
        leave?.()
        settle(way, result, startedAt, 'request')
      } catch (error) {
        const { headers, body, status } = answerOf(refuse(error))
        if (res.headersSent) {
          res.destroy()
          return
        }
        // Who waits for leave to send a body does not get it, and nothing can follow.
        if (req.headers.expect !== undefined) res.shouldKeepAlive = false
        else outliveUpload(req, res)
        res.writeHead(status, headers).end(body)
        leftover(req)
      }
    },
    upgrade: async (req, socket, head) => {
      // Until the relay takes over, a reset by the client must not end the process.
      const onError = () => socket.destroy()
      socket.on('error', onError)
      try {
        const { way, target } = await admit(req)
        socket.off('error', onError)
        const sent = new SentBytes()
        const onJoined = (protocol: string) => {
          if (protocol.toLowerCase() !== 'websocket') sent.countAll()
        }
        const passed = relay.upgrade(req, socket, head, { ...target, onJoined, onSent: piece => sent.take(piece) })
        // Not awaited here: this would keep the request for as long as the socket.
        follow(passed, way, sent).catch(error => {
          refuse(error)
          socket.destroy()
        })
      } catch (error) {
        const { status, ...answer } = answerOf(refuse(error))
        if (!socket.destroyed) refuseUpgrade(req, socket, status, answer)
      }
    },
  }
}

const isOwn = (name: string): boolean => name.startsWith(ownHeaders)

const unreachable: RelayTarget['problem'] = ({ title }) =>
  answerOf(new AgentError('port-unreachable', { detail: title }))

/** Whether a page that the container has served asks: of the origin that the gateway gave it. */
const isOwnPage = ({ origin, ...headers }: http.IncomingHttpHeaders): boolean =>
  origin !== undefined && origin === `${headers['x-forwarded-proto']}://${headers['x-forwarded-host']}`

/** What a container gives as its own address, by the Host it was asked with, is a path: nobody else can reach that host. */
const withoutOrigin = (address: string, origin: string): string => {
  if (!URL.canParse(address) || new URL(address).origin !== origin) return address
  const { pathname, search, hash } = new URL(address)
  // What begins with two slashes would name a host.
  return `${pathname.replace(/^\/{2,}/, '/')}${search}${hash}`
}

const parse = (url: string): Way => {
  const [pathname = '', ...query] = url.split('?')
  const match = route.exec(pathname)
  if (!match?.[1] || !match[2] || !match[3])
    throw new AgentError('not-found', { detail: 'there is no such edge route' })
  const search = query.length === 0 ? '' : `?${query.join('?')}`
  return { runtimeId: match[1], generation: Number(match[2]), port: match[3], path: `${match[4] ?? '/'}${search}` }
}

/** A problem of the agent's own, marked as one. */
const answerOf = (error: AgentError): { status: number; headers: Record<string, string>; body: string } => {
  const problem = problemOf(error)
  return {
    status: problem.status,
    headers: { 'content-type': 'application/problem+json', [problemHeader]: error.code },
    body: JSON.stringify(problem),
  }
}
