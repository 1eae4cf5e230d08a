import type http from 'node:http'
import { RelayFault } from './errors.ts'
import type { RelayTarget } from './types.ts'

/** Headers that speak of one connection only (RFC 9110 section 7.6.1), and those the relay frames anew. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/** Never dropped because a `Connection` header names them: they carry the message's meaning or its framing. */
const endToEnd: ReadonlySet<string> = new Set(['host', 'content-length', 'content-type', 'set-cookie'])

const isForwarded = (name: string): boolean =>
  name === 'forwarded' || name === 'x-real-ip' || name.startsWith('x-forwarded-')

/**
 * The request's headers as the upstream gets them: flat `[name, value, …]`, duplicates and order kept.
 * @throws RelayFault `bad-request` when the client sent two Host headers: they name two owners of one request.
 */
export function requestHeaders(req: http.IncomingMessage, target: RelayTarget): string[] {
  const replaced = lowerCased(target.headers)
  const named = connectionOptions(req.headers.connection)
  const keepForwarded = target.forwarded === 'keep'
  const kept: string[] = []
  let hosts = 0
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    const original = req.rawHeaders[i] ?? ''
    const name = original.toLowerCase()
    if (name === 'host' && ++hosts > 1) throw new RelayFault('bad-request')
    if (hopByHop.has(name) || replaced.includes(name) || target.drop?.(name)) continue
    // Only chunks have trailers; Node writes no other request that announces some.
    if (name === 'trailer' && req.headers['transfer-encoding'] === undefined) continue
    if (named.has(name) || (!keepForwarded && isForwarded(name))) continue
    kept.push(original, req.rawHeaders[i + 1] ?? '')
  }
  if (typeof target.forwarded === 'object') {
    const { for: address, proto, host } = target.forwarded
    kept.push('X-Forwarded-For', address, 'X-Forwarded-Proto', proto, 'X-Forwarded-Host', host)
  }
  for (const name of Object.keys(target.headers)) kept.push(name, target.headers[name] ?? '')
  return kept
}

/** `headers` (flat) without the fields called `name` (lower case). */
export function without(headers: readonly string[], name: string): string[] {
  return headers.filter((_, i) => headers[i - (i % 2)]?.toLowerCase() !== name)
}

/** The answer's headers as the client gets them, flat, from the upstream's flat ones. `hasTrailers`: if it comes in chunks. */
export function answerHeaders(raw: readonly string[], target: RelayTarget, hasTrailers = false): string[] {
  let connection: string | undefined
  let chunked = false
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase()
    if (name === 'connection') connection = connection === undefined ? raw[i + 1] : `${connection},${raw[i + 1]}`
    else if (name === 'transfer-encoding') chunked = true
  }
  const named = connectionOptions(connection)
  const replaced = target.answerHeaders ?? none
  const dropped = lowerCased(replaced)
  const kept: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const original = raw[i] ?? ''
    const name = original.toLowerCase()
    if (hopByHop.has(name) || named.has(name) || dropped.includes(name)) continue
    // A length beside chunks is a lie about one of them (RFC 9112 section 6.3): the chunks rule.
    if (chunked && name === 'content-length') continue
    // Only chunks have trailers; Node writes no other answer that announces some.
    if (name === 'trailer' && !(chunked && hasTrailers)) continue
    const value = raw[i + 1] ?? ''
    const passed = target.answerHeader === undefined ? value : target.answerHeader(name, value)
    if (passed !== undefined) kept.push(original, passed)
  }
  for (const name of Object.keys(replaced)) kept.push(name, replaced[name] ?? '')
  return kept
}

/** Trailer fields that may be passed on: none that frames, routes or authenticates (RFC 9110 section 6.5.1). */
export function trailerHeaders(raw: readonly string[], target: RelayTarget): [string, string][] {
  const kept: [string, string][] = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase() ?? ''
    if (hopByHop.has(name) || endToEnd.has(name)) continue
    const value = raw[i + 1] ?? ''
    const passed = target.answerHeader === undefined ? value : target.answerHeader(name, value)
    if (passed !== undefined) kept.push([raw[i] ?? '', passed])
  }
  return kept
}

/** What an upstream could take for a header of the request that changes its meaning, its conditions or its framing. */
const neverTrails =
  /^(content-|if-|range$|cache-control$|max-forwards$|expect$|authorization$|cookie$|origin$|referer$|trailer$)/

/** Trailer fields of a request that may be passed on: of what may not be a header of it, none (RFC 9110 section 6.5.1). */
export function requestTrailers(raw: readonly string[], target: RelayTarget): [string, string][] {
  const replaced = lowerCased(target.headers)
  const kept: [string, string][] = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase() ?? ''
    if (hopByHop.has(name) || endToEnd.has(name) || replaced.includes(name) || target.drop?.(name)) continue
    if (isForwarded(name) || neverTrails.test(name)) continue
    kept.push([raw[i] ?? '', raw[i + 1] ?? ''])
  }
  return kept
}

const nothing: ReadonlySet<string> = new Set()

const none: Readonly<Record<string, string>> = {}

/** Of a handful of names: looked through one by one. */
function lowerCased(headers: Readonly<Record<string, string>>): readonly string[] {
  return Object.keys(headers).map(name => name.toLowerCase())
}

function connectionOptions(value: string | undefined): ReadonlySet<string> {
  if (value === undefined || value === 'keep-alive' || value === 'close') return nothing
  const names = value.split(',').map(name => name.trim().toLowerCase())
  return new Set(names.filter(name => name !== '' && !endToEnd.has(name)))
}
