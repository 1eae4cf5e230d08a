import type { HostView, RuntimeRow } from '@porthole/db'
import type { Logger } from 'pino'
import { type Agents, AgentUnreachable } from '../agents/client.ts'
import { unusedMsOf } from './idle-ask.ts'

/** Milliseconds since a runtime was last used, or milliseconds after which its host is to be asked again. */
export type UseAnswer = { unusedMs: number } | { againMs: number }

/** Hosts that are asked for the last use of runtimes, one look after the other. */
export type UseAsker = { ask(host: HostView, row: RuntimeRow): Promise<UseAnswer> }

/** Milliseconds for an answer: a try at a container's health takes 2 s, and its host answers then, too. */
const usualMs = 3000
/** Milliseconds before one that did not say is asked again: twice as long each time, up to this. */
const firstAgainMs = 15_000
const lastAgainMs = 240_000
/** Hosts and runtimes that are remembered for saying nothing. Beyond it the one that was asked longest ago is asked as if anew. */
const usualLimit = 10_000

const within = async <T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
  const over = new AbortController()
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const error = new AgentUnreachable(`no answer within ${ms} ms`)
    over.abort(error)
    reject(error)
  }, ms)
  try {
    return await Promise.race([work(over.signal), late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * A host that does not answer in time is left alone for a while, with all of its runtimes; one that answers and does not say, for
 * that runtime. The while grows as long as that goes on.
 *
 * @param options.now milliseconds of any clock that only moves forward
 */
export const createUseAsker = ({
  agents,
  log,
  ms = usualMs,
  limit = usualLimit,
  now = () => performance.now(),
}: {
  agents: Agents
  log: Logger
  ms?: number
  limit?: number
  now?: () => number
}): UseAsker => {
  const silent = new Map<string, { againMs: number; until: number }>()
  /** Hosts of which it was logged that they tell nothing. */
  const known = new Set<string>()

  const leftOf = (id: string) => Math.max(0, (silent.get(id)?.until ?? 0) - now())

  const leaveAlone = (id: string): UseAnswer => {
    const left = leftOf(id)
    // Two who have asked at once have waited for the same silence.
    if (left > 0) return { againMs: left }
    const againMs = Math.min(2 * (silent.get(id)?.againMs ?? firstAgainMs / 2), lastAgainMs)
    silent.delete(id)
    silent.set(id, { againMs, until: now() + againMs })
    for (const oldest of silent.keys()) {
      if (silent.size <= limit) break
      silent.delete(oldest)
    }
    return { againMs }
  }

  const noteMute = (host: string) => {
    if (known.has(host) || known.size >= limit) return
    known.add(host)
    log.info({ host }, 'host does not say when its runtimes were used: their rules of use end none of them there')
  }

  return {
    ask: async (host, row) => {
      const left = Math.max(leftOf(host.id), leftOf(row.id))
      if (left > 0) return { againMs: left }
      let unusedMs: number | undefined
      try {
        unusedMs = await within(ms, signal => unusedMsOf(agents, host, row, signal))
      } catch (error) {
        log.debug({ err: error, host: host.id }, 'host could not be asked for the last use of its runtimes')
        return leaveAlone(host.id)
      }
      silent.delete(host.id)
      if (unusedMs === undefined) {
        noteMute(host.id)
        return leaveAlone(row.id)
      }
      silent.delete(row.id)
      return { unusedMs }
    },
  }
}
