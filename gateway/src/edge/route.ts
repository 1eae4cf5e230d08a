import { isOwnerHash, type OwnerHash } from '../identity/owner.ts'
import type { Door } from './access.ts'

/** Where an edge request goes: through which door, to whose runtime, and what is left of its path and query. */
export type EdgeRoute = { door: Door; ownerHash: OwnerHash; rest: string }

/** Every door, and the paths behind it where a WebSocket may open; `*` is one character or more. */
export const socketPaths: Readonly<Record<Door, readonly string[]>> = {
  view: ['/websockify'],
  cdp: ['', '/', '/devtools/*'],
  rpc: ['/*'],
  port: ['/*'],
}

/** The original's address of a tenant's shared view (PARITY B19). */
export const sharedSocketPath = '/websockify'

/** Whether a WebSocket may open at a path behind a door. */
export const takesSocket = (door: Door, path: string): boolean =>
  socketPaths[door].some(known =>
    known.endsWith('*') ? path.length >= known.length && path.startsWith(known.slice(0, -1)) : path === known,
  )

const shape = new RegExp(`^/(${Object.keys(socketPaths).join('|')})/([0-9a-f]{16})((?:[/?].*)?)$`, 's')
/** Dot segments, encoded or not, with parameters or without: a path that means another one somewhere down the line. */
const dotSegment = /(^|\/)(\.|%2e){1,2}([/?;]|$)/i
/** Separators in disguise, empty segments, and control characters. */
const disguised = /[\\#]|\/\/|%(2f|5c|7f|[01][0-9a-f])/i
/** What may stand in a request target at all (RFC 3986 section 2), and a few that are let pass; never what is not ASCII. */
const printable = /^[!-~]*$/

/** Whether the escapes are whole, and UTF-8 in its one right form: `%c0%ae` is a dot to some. */
const isDecodable = (path: string): boolean => {
  if (!path.includes('%')) return true
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}

/** Whether a path is in its plain form: nothing in it that one parser on the way reads differently from the next. */
export const isPlainPath = (path: string): boolean =>
  path.startsWith('/') && printable.test(path) && !dotSegment.test(path) && !disguised.test(path) && isDecodable(path)

/** The same for a path with a query, in which anything printable may stand but what begins a fragment. */
export const isPlainTarget = (target: string): boolean =>
  isPlainPath(target.split('?', 1)[0] ?? '') && printable.test(target) && !target.includes('#')

/**
 * Reads a request target as it came over the wire. It is never decoded or normalised: what does not have the plain form
 * is nobody's.
 */
export const parseEdgeTarget = (target: string): EdgeRoute | undefined => {
  const [, door, ownerHash = '', rest = ''] = shape.exec(target) ?? []
  if (!isOwnerHash(ownerHash)) return undefined
  if (!isPlainTarget(target)) return undefined
  return { door: door as Door, ownerHash, rest }
}
