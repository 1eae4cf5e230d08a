import type http from 'node:http'
import type { HostView, RuntimeRow } from '@porthole/db'
import { edgePath, hopHeader } from '@porthole/protocol'
import type { RelayTarget } from '@porthole/protocol/relay'
import type { House } from '../house.ts'
import { Problem } from '../problem.ts'
import { isTurning } from '../runtimes/driver.ts'
import type { Visit } from './access.ts'
import { placeOf } from './place.ts'
import { insteadOfAgent } from './relay-problem.ts'

/** Headers that are between the caller and us: never for a container. */
export const ours: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'origin',
  'referer',
  hopHeader,
  'x-porthole-key',
  'x-porthole-access',
])

const isOurs = (name: string): boolean => ours.has(name)

/**
 * What a container answers must not act in our origin's name: it sets no cookies and no policies there, and if a
 * browser shows it, then as a document without an origin.
 */
export const neverFromContainers = new Set([
  'set-cookie',
  'set-cookie2',
  'clear-site-data',
  'service-worker-allowed',
  'strict-transport-security',
  'public-key-pins',
  'alt-svc',
  'nel',
  'report-to',
  'reporting-endpoints',
  'content-security-policy',
  'content-security-policy-report-only',
  'access-control-allow-origin',
  'access-control-allow-credentials',
  'refresh',
  'link',
  // Orders to a proxy in front of us, to answer with a file or a place of its own.
  'x-accel-redirect',
  'x-sendfile',
  'x-lighttpd-send-file',
  'x-reproxy-url',
])

export const sandboxHeaders = {
  'content-security-policy': "sandbox; default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
}

/** Whether a request only asks if a runtime is well, as a monitor does all the time: that is no use of it. */
export const isHealthLook = (method: string | undefined, port: string, rest: string): boolean =>
  port === 'rpc' && (method === 'GET' || method === 'HEAD') && /^\/health(\?|$)/.test(rest)

/** The runtime, running: woken up when its spec lets traffic do that. @throws Problem */
const awake = async (house: House, { runtime }: Visit, signal: AbortSignal | undefined) => {
  if (runtime.state === 'running' && !isTurning(runtime)) return runtime
  if (!['running', 'paused', 'stopped', 'pending', 'starting'].includes(runtime.state))
    throw new Problem('not-running', { detail: `it is ${runtime.state}`, retryAfterSeconds: 5 })
  const row = await house.conductor.start(runtime, house.wakeMs, signal)
  if (row.state !== 'running') throw new Problem('not-running', { detail: `it is ${row.state}`, retryAfterSeconds: 5 })
  return row
}

type Way = {
  runtime: Pick<RuntimeRow, 'id' | 'generation' | 'ownerHash'>
  host: Pick<HostView, 'url' | 'certificate'>
  hop: string
  port: string
  rest: string
  req: http.IncomingMessage
  requestId: string
}

/**
 * The way to a port of a visitor's runtime, through its host's agent.
 *
 * @param rest path and query inside the container, beginning with `/`
 * @throws Problem `not-running`, `host-unreachable`, and what a start throws
 */
export const targetOf = async (
  house: House,
  visit: Visit,
  port: string,
  rest: string,
  { req, requestId, signal }: { req: http.IncomingMessage; requestId: string; signal?: AbortSignal },
): Promise<RelayTarget & { runtime: RuntimeRow }> => {
  const runtime = await awake(house, visit, signal)
  const host = runtime.hostId === null ? undefined : await house.routes.host(runtime.hostId)
  if (!host?.live)
    throw new Problem('host-unreachable', { detail: 'the host has been silent for 20 s or more', retryAfterSeconds: 5 })
  if (!isHealthLook(req.method, port, rest)) house.routes.touch(runtime.id)
  const { id, generation } = runtime
  const hop = await house.hops.to({ host: host.id, runtime: id, generation, access: visit.access })
  return { runtime, ...wayTo(house, { runtime, host, hop, port, rest, req, requestId }) }
}

/** The way to a port of a runtime that runs, when all is known that it takes. */
export const wayTo = (
  house: Pick<House, 'base' | 'publicHost'>,
  { runtime, host, hop, port, rest, req, requestId }: Way,
): RelayTarget => {
  const { id, generation, ownerHash } = runtime
  return {
    origin: host.url,
    ...(host.certificate === null ? {} : { certificate: host.certificate }),
    path: edgePath(id, generation, port, rest),
    headers: { [hopHeader]: hop },
    drop: isOurs,
    forwarded: {
      for: req.socket.remoteAddress ?? 'unknown',
      proto: house.base.startsWith('https:') ? 'https' : 'http',
      host: house.publicHost,
    },
    answerHeader: (name, value) => {
      if (neverFromContainers.has(name) || name.startsWith('x-porthole-')) return undefined
      return name === 'location' || name === 'content-location'
        ? placeOf(house.base, port, ownerHash, rest).toPublic(value)
        : value
    },
    instead: insteadOfAgent(requestId),
    answerHeaders: sandboxHeaders,
  }
}
