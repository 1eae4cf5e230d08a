import { problemHeader } from '@porthole/protocol'
import { RelayFault, type RelayTarget } from '@porthole/protocol/relay'
import { request } from 'undici'
import type { House } from '../house.ts'
import { Problem } from '../problem.ts'
import { problemOfAgent } from './relay-problem.ts'
import { isPlainPath } from './route.ts'

const deadlineMs = 15_000
const maxBytes = 16 * 1024 * 1024

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

/** Fetches `/json/…` from a runtime's DevTools. @returns status and body to answer with. @throws Problem */
export const fetchDiscovery = async (
  house: House,
  ownerHash: string,
  method: 'GET' | 'PUT',
  target: RelayTarget,
): Promise<{ status: number; body: string; type: string }> => {
  let status: number
  let text = ''
  try {
    const answer = await request(`${target.origin}${target.path}`, {
      dispatcher: house.connections.others({ url: target.origin, certificate: target.certificate ?? null }),
      method,
      headers: target.headers,
      signal: AbortSignal.timeout(deadlineMs),
    })
    status = answer.statusCode
    const refusal = answer.headers[problemHeader]
    if (typeof refusal === 'string') {
      await answer.body.dump({ limit: 65_536 })
      throw problemOfAgent(refusal)
    }
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of answer.body) {
      size += chunk.length
      if (size > maxBytes) throw new Error('the document is larger than 16 MiB')
      chunks.push(chunk)
    }
    text = Buffer.concat(chunks).toString('utf8')
  } catch (cause) {
    if (cause instanceof Problem) throw cause
    if (cause instanceof RelayFault && cause.code === 'upstream-unverified')
      throw new Problem('host-unreachable', { retryAfterSeconds: 5, cause })
    throw new Problem('upstream-failed', { detail: 'DevTools did not answer', retryAfterSeconds: 1, cause })
  }
  // Statuses that have no body by definition are no answers to a question for a document.
  if (status < 200 || [204, 205, 304].includes(status))
    throw new Problem('upstream-failed', { detail: `DevTools answered ${status}` })
  try {
    const body = JSON.stringify(publicDiscovery(house.base, ownerHash, JSON.parse(text)))
    return { status, body, type: 'application/json; charset=UTF-8' }
  } catch {
    // "Target is closing" and "No such target id" are plain text.
    return { status, body: text.slice(0, 1000), type: 'text/plain; charset=UTF-8' }
  }
}
