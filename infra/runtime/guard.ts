import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import type { ProblemCode } from './problem.ts'

/** Why a request may not come in, or undefined when it may. */
export type Guard = (headers: IncomingHttpHeaders) => ProblemCode | undefined

const digest = (value: string): Buffer => createHash('sha256').update(value).digest()

/** The host of a `Host` header without its port and without the brackets of an IPv6 address. */
export const hostOf = (header: string): string =>
  (/^\[([^\]]*)\](?::\d*)?$/.exec(header)?.[1] ?? header.replace(/:\d*$/, '')).toLowerCase()

/**
 * Who may use a port. A page in the browser shares the container's loopback, so every port has to tell it apart from
 * the agent: a page can't set `x-porthole-key`, its fetches and sockets carry `Origin`, and a name that it rebinds to
 * this address shows in `Host`.
 */
export const createGuard = (options: { key: string | undefined; hostname: string }): Guard => {
  // Digests are of one length, so that the comparison tells nothing about the key, not even its length.
  const wanted = options.key === undefined ? undefined : digest(options.key)
  const names = new Set(['localhost', options.hostname.toLowerCase()])
  return headers => {
    const host = headers.host === undefined ? '' : hostOf(headers.host)
    if (isIP(host) === 0 && !names.has(host)) return 'wrong-host'
    if (headers.origin !== undefined) return 'origin-refused'
    if (wanted === undefined) return undefined
    const given = headers['x-porthole-key']
    return typeof given === 'string' && timingSafeEqual(digest(given), wanted) ? undefined : 'unauthorized'
  }
}
