import type http from 'node:http'
import type { RelayTarget } from '@porthole/protocol/relay'
import type { House } from '../house.ts'
import { placeOf } from './place.ts'
import { type PortVisit, type PortWay, portCookieOf } from './port-access.ts'
import { ours, targetOf } from './target.ts'

/** What even a container with an origin of its own must not say: it reaches beyond that origin, or orders proxies about. */
const beyondOrigin: ReadonlySet<string> = new Set([
  // Its cookies are those of the whole registrable domain: the gateway's, and every other port's.
  'clear-site-data',
  'strict-transport-security',
  'public-key-pins',
  'alt-svc',
  'nel',
  'report-to',
  'x-accel-redirect',
  'x-sendfile',
  'x-lighttpd-send-file',
  'x-reproxy-url',
])

/** A Cookie header without ours; undefined: nothing is left. */
export const cookiesWithout = (header: string | undefined, name: string): string | undefined => {
  const kept = (header ?? '').split(';').filter(pair => {
    const own = pair.split('=', 1)[0]?.trim()
    return own !== '' && own !== name
  })
  return kept.length === 0 ? undefined : kept.map(pair => pair.trim()).join('; ')
}

/**
 * A container's cookie, for its own host alone: without the Domain that would carry it to the hosts of others. Undefined:
 * it has the name of ours.
 */
export const cookieForHost = (value: string, name: string): string | undefined => {
  const [pair = '', ...attributes] = value.split(';')
  if (pair.split('=', 1)[0]?.trim().toLowerCase() === name.toLowerCase()) return undefined
  return [pair, ...attributes.filter(attribute => !/^\s*domain\s*(=|$)/i.test(attribute))].join(';')
}

/** An address on the port's own host without scheme and host: what a container takes its scheme for may be wrong. */
const withoutHost = (address: string, origin: string): string => {
  if (!URL.canParse(address)) return address
  const { host, protocol, pathname, search, hash } = new URL(address)
  if (host !== new URL(origin).host || !/^https?:$/.test(protocol)) return address
  // What begins with two slashes would name a host.
  return `${pathname.replace(/^\/{2,}/, '/')}${search}${hash}`
}

/** What a container with an origin of its own may say of an answer, and how. @param cookie the name of ours */
export const answerOnOrigin =
  (origin: string, cookie: string) =>
  (header: string, value: string): string | undefined => {
    if (beyondOrigin.has(header) || header.startsWith('x-porthole-')) return undefined
    if (header === 'set-cookie') return cookieForHost(value, cookie)
    return header === 'location' || header === 'content-location' ? withoutHost(value, origin) : value
  }

/**
 * The way to a named port. On the gateway's origin it is as for every other container's answer: no cookies, and a sandbox.
 * On an origin of its own a container may do what a site may do.
 *
 * @throws Problem what `targetOf` throws
 */
export const portTargetOf = async (
  house: House,
  visit: PortVisit,
  { name, rest, origin }: PortWay,
  asked: { req: http.IncomingMessage; requestId: string; signal?: AbortSignal },
): ReturnType<typeof targetOf> => {
  const inner = rest.startsWith('/') ? rest : `/${rest}`
  const target = await targetOf(house, visit, name, inner, asked)
  if (origin === undefined) {
    const place = placeOf(house.base, 'port', `${visit.runtime.ownerHash}/${name}`, inner)
    return {
      ...target,
      answerHeader: (header, value) =>
        header === 'location' || header === 'content-location'
          ? place.toPublic(value)
          : target.answerHeader?.(header, value),
    }
  }
  const cookie = portCookieOf(house.base)
  const cookies = cookiesWithout(asked.req.headers.cookie, cookie)
  const { answerHeaders: _, ...onward } = target
  // The container may have a sign-in of its own: a token that is not ours is for it.
  const passed = new Set(['cookie', 'origin', 'referer', ...(visit.by === 'cookie' ? ['authorization'] : [])])
  return {
    ...onward,
    headers: { ...target.headers, ...(cookies === undefined ? {} : { cookie: cookies }) },
    drop: name => (ours.has(name) && !passed.has(name)) || (name === 'cookie' && cookies === undefined),
    forwarded: {
      ...(target.forwarded as Exclude<RelayTarget['forwarded'], 'keep' | undefined>),
      host: new URL(origin).host,
    },
    answerHeader: answerOnOrigin(origin, cookie),
  }
}
