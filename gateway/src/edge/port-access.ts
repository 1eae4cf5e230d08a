import type http from 'node:http'
import { parse } from 'hono/utils/cookie'
import type { House } from '../house.ts'
import { Problem } from '../problem.ts'
import { authorize, findTheirs, type Visit } from './access.ts'
import { doorNames, type NamedPort, type PortHosts, parsePortPath } from './port-hosts.ts'
import { parseEdgeTarget } from './route.ts'

/** A request that is for a named port of somebody's runtime. */
export type PortWay = NamedPort & {
  /** Path and query inside the container. */
  rest: string
  /** The origin that the port has of its own; undefined: it is reached on the gateway's. */
  origin: string | undefined
}

/** Somebody who may use a port, and by what: a person's cookie is ours, a token may be the container's own. */
export type PortVisit = Visit & { by: 'cookie' | 'token' }

/** A port's cookie is good for its host alone; with TLS the browser sees to it that no other host can set it. */
export const portCookieOf = (base: string): string =>
  base.startsWith('https:') ? '__Host-porthole_port' : 'porthole_port'

/** What a pass for a port is signed for: no other port of the same runtime takes it. */
export const portAudience = ({ name }: Pick<NamedPort, 'name'>): string => `porthole-port ${name}`

/** Under which a ticket for a port is kept. No other kind's begins like it: what opens one thing opens no other. */
export const portTicketKey = (token: string, { name }: Pick<NamedPort, 'name'>): string => `port ${name} ${token}`

/**
 * Which port a request is for, by its Host or else its path; undefined: it is for the gateway itself.
 *
 * @throws Problem `not-found` for a name that is no port's
 */
export const portWayOf = (house: Pick<House, 'portHosts'>, req: http.IncomingMessage): PortWay | undefined => {
  const target = req.url ?? ''
  const named = house.portHosts.read(req.headers.host)
  if (named === 'nobody') throw new Problem('not-found')
  if (named) return { ...named, rest: target, origin: house.portHosts.originOf(named) }
  const route = parseEdgeTarget(target)
  if (route?.door !== 'port') return undefined
  const inside = parsePortPath(route.rest)
  if (!inside) throw new Problem('not-found')
  return { ownerHash: route.ownerHash, ...inside, origin: undefined }
}

/** Whether a request is passed on with its body as it comes. */
export const isRelayed = (hosts: PortHosts, { url, headers }: http.IncomingMessage): boolean =>
  /^\/(rpc|port)\//.test(url ?? '') || hosts.read(headers.host) !== undefined

/**
 * A cookie goes along with whatever any page asks for. So what comes with one is the port's own page at work, a page of
 * another port of the same runtime, or a person who opens the page (Fetch Metadata, section 2); what another site embeds,
 * sends or connects is refused.
 */
export const isOwnRequest = (
  house: Pick<House, 'portHosts'>,
  { ownerHash, origin }: Pick<PortWay, 'ownerHash' | 'origin'>,
  { headers, method }: Pick<http.IncomingMessage, 'headers' | 'method'>,
): boolean => {
  const from = headers.origin
  if (from === origin) return true
  if (from !== undefined && URL.canParse(from)) {
    const { host, origin: plain } = new URL(from)
    const other = house.portHosts.read(host)
    return typeof other === 'object' && other.ownerHash === ownerHash && house.portHosts.originOf(other) === plain
  }
  if (from !== undefined || headers.upgrade !== undefined) return false
  const site = headers['sec-fetch-site']
  if (site === undefined || site === 'same-origin' || site === 'none') return true
  return headers['sec-fetch-mode'] === 'navigate' && ['GET', 'HEAD'].includes(method ?? '')
}

/**
 * Who may use a named port: the bearer of a token with `runtimes:connect`, or, where the port has an origin of its own, a
 * person whose cookie came from a ticket.
 *
 * @throws Problem `unauthorized`, `insufficient-scope`, `wrong-origin`, `not-found`, `gone`
 */
export const enterPort = async (house: House, way: PortWay, req: http.IncomingMessage): Promise<PortVisit> => {
  const { ownerHash } = way
  const visit = (await byCookie(house, way, req)) ?? {
    ...(await authorize(house, 'port', ownerHash, req.headers)),
    by: 'token' as const,
  }
  // A container answers for names that its spec gives, and for none that is a door with rules of its own.
  const ports = house.specs.portsOf(visit.runtime.spec) ?? {}
  if (doorNames.has(way.name) || !Object.hasOwn(ports, way.name)) throw new Problem('not-found')
  return visit
}

const byCookie = async (house: House, way: PortWay, req: http.IncomingMessage): Promise<PortVisit | undefined> => {
  if (way.origin === undefined) return undefined
  const name = portCookieOf(house.base)
  const cookie = parse(req.headers.cookie ?? '', name)[name]
  const pass = await house.passes.read(cookie, way.ownerHash, portAudience(way))
  if (!pass || !house.doorman.isWelcome(pass)) return undefined
  if (!isOwnRequest(house, way, req)) throw new Problem('wrong-origin')
  return { ...pass, runtime: await findTheirs(house, pass.tenant, way.ownerHash), by: 'cookie' }
}
