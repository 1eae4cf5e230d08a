import { problemHeader } from '@porthole/protocol'
import { RelayFault, type RelayTarget } from '@porthole/protocol/relay'
import { request } from 'undici'
import type { House } from '../house.ts'
import { Problem } from '../problem.ts'
import { isDeeperThan } from './bodies.ts'
import { problemOfAgent } from './relay-problem.ts'
import { isPlainPath } from './route.ts'

const usualDeadlineMs = 15_000
/** A hundred bytes to a few thousand for each target. */
const maxBytes = 2 * 1024 * 1024
/** Chromium's have two levels, its description of the protocol a dozen. */
const maxDepth = 32
const maxTargets = 10_000

/** The same as the page's URL, for sockets: https → wss, http → ws. */
const socketBase = (base: string) => base.replace(/^http/, 'ws')

/**
 * A DevTools discovery document with its socket URLs made public, so that clients that follow them come back through
 * the gateway. `devtoolsFrontendUrl` is dropped: it would open a page with the inner address.
 */
export const publicDiscovery = (base: string, ownerHash: string, document: unknown): unknown => {
  // A list of targets. What a container puts deeper is nothing that a client looks for, and could be as deep as it likes.
  if (Array.isArray(document))
    return document.map(part => (Array.isArray(part) ? [] : publicDiscovery(base, ownerHash, part)))
  if (typeof document !== 'object' || document === null) return document
  return Object.fromEntries(
    Object.entries(document).flatMap(([name, value]): [string, unknown][] => {
      if (name === 'devtoolsFrontendUrl' || name === 'devtoolsFrontendUrlCompat') return []
      if (name !== 'webSocketDebuggerUrl' || typeof value !== 'string') return [[name, value]]
      const path = URL.canParse(value) ? new URL(value).pathname : ''
      return path.startsWith('/devtools/') && isPlainPath(path)
        ? [[name, `${socketBase(base)}/cdp/${ownerHash}${path}`]]
        : []
    }),
  )
}

type Asked = {
  ownerHash: string
  method: 'GET' | 'PUT'
  target: Pick<RelayTarget, 'origin' | 'path' | 'headers' | 'certificate'>
  /** Aborted: nobody waits for the answer any more, or may have it. */
  signal: AbortSignal
  /** Milliseconds for the whole of it. */
  deadlineMs?: number
}

/**
 * Fetches `/json/…` from a runtime's DevTools.
 *
 * @returns status and body to answer with
 * @throws Problem `upstream-timeout` for one that is silent, `upstream-failed` for one whose answer is none or too much,
 *   `not-running`, `host-unreachable`
 */
export const fetchDiscovery = async (
  { connections, base }: Pick<House, 'connections' | 'base'>,
  { ownerHash, method, target, signal, deadlineMs = usualDeadlineMs }: Asked,
): Promise<{ status: number; body: string; type: string }> => {
  const late = AbortSignal.timeout(deadlineMs)
  let status: number
  let text: string
  try {
    const answer = await request(`${target.origin}${target.path}`, {
      dispatcher: connections.containers({ url: target.origin, certificate: target.certificate ?? null }),
      method,
      headers: target.headers,
      signal: AbortSignal.any([late, signal]),
    })
    status = answer.statusCode
    const refusal = answer.headers[problemHeader]
    if (typeof refusal === 'string') {
      await answer.body.dump({ limit: 65_536 })
      throw problemOfAgent(refusal, status)
    }
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of answer.body) {
      size += chunk.length
      if (size > maxBytes) throw tooMuch(`more than ${maxBytes / 1024 ** 2} MiB`)
      chunks.push(chunk)
    }
    text = Buffer.concat(chunks).toString('utf8')
  } catch (cause) {
    throw faultOf(cause, signal, late)
  }
  // Statuses that have no body by definition are no answers to a question for a document.
  if (status < 200 || [204, 205, 304].includes(status))
    throw new Problem('upstream-failed', { detail: `DevTools answered ${status}` })
  // Before it is parsed: V8 takes seconds for megabytes of brackets, and everybody waits.
  if (isDeeperThan(text, maxDepth)) throw tooMuch(`JSON of more than ${maxDepth} levels`)
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    // "Target is closing" and "No such target id" are plain text.
    return { status, body: text.slice(0, 1000), type: 'text/plain; charset=UTF-8' }
  }
  if (Array.isArray(document) && document.length > maxTargets) throw tooMuch(`more than ${maxTargets} targets`)
  const body = JSON.stringify(publicDiscovery(base, ownerHash, document))
  return { status, body, type: 'application/json; charset=UTF-8' }
}

const tooMuch = (what: string) => new Problem('upstream-failed', { detail: `DevTools answered ${what}` })

/** What it means that there is no answer. */
const faultOf = (cause: unknown, signal: AbortSignal, late: AbortSignal): Problem => {
  if (cause instanceof Problem) return cause
  if (signal.aborted)
    return new Problem('not-running', { detail: 'it was stopped, moved, or is out of reach now', retryAfterSeconds: 1 })
  const code = cause instanceof RelayFault ? cause.code : undefined
  if (code === 'upstream-unverified') return new Problem('host-unreachable', { retryAfterSeconds: 5, cause })
  const isSlow =
    late.aborted ||
    code === 'connect-timeout' ||
    (cause instanceof Error && 'code' in cause && cause.code === 'UND_ERR_CONNECT_TIMEOUT')
  if (isSlow)
    return new Problem('upstream-timeout', { detail: 'DevTools did not answer in time', retryAfterSeconds: 5, cause })
  return new Problem('upstream-failed', { detail: 'DevTools did not answer', retryAfterSeconds: 1, cause })
}
