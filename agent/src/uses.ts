import { Roster } from '@porthole/protocol'

/** Something of a client's that is under way to a port. */
export type Exchange = {
  runtimeId: string
  port: string
  kind: 'request' | 'socket'
  /** Bytes that have come from the client so far, those of them that are use. */
  bytes(): number
}

/**
 * When the ports of this host's runtimes were last used: a request for as long as it lasts, a socket that opens, and messages
 * that come from its client. All use of a runtime passes here; a container that tells a person's input from what a viewer asks for
 * by itself knows better (`told`), of the ports that it sees to itself. Of those only what has just begun counts, as it may
 * not have seen that.
 */
export type Uses = {
  /** @returns to be called when it is over */
  enter(exchange: Exchange): () => void
  /**
   * Milliseconds since a runtime was last used; what is not known any more, because this agent was started since, counts
   * as used then.
   *
   * @param told what its container says of the ports `view`, `cdp` and `rpc`; undefined: nothing
   */
  unusedMs(runtime: { id: string; ports: Readonly<Record<string, number>> }, told: number | undefined): number
}

/** Ports that a container which tells of its use tells of. */
const toldOf: ReadonlySet<string> = new Set(['view', 'cdp', 'rpc'])

type Open = Exchange & { counted: number }

/** Milliseconds of any clock: when a port was last used, and when something last began there. */
type Used = { at: number; begunAt: number }

/** Whether a request only asks if a runtime is well, as a monitor does all the time: that is no use of it. */
export const isHealthLook = (method: string | undefined, port: string, path: string): boolean =>
  port === 'rpc' && (method === 'GET' || method === 'HEAD') && /^\/health(\?|$)/.test(path)

/**
 * @param options.now milliseconds of any clock that only moves forward
 * @param options.limit ports remembered; beyond it the one longest unused is forgotten
 */
export const createUses = ({ now = () => performance.now(), limit = 20_000 } = {}): Uses => {
  const used = new Map<string, Used>()
  const open = new Map<string, Roster<Open>>()
  /** What is not remembered was used then at the latest. */
  let unknownAt = now()

  const use = (key: string, isBegun = false) => {
    const begunAt = isBegun ? now() : (used.get(key)?.begunAt ?? Number.NEGATIVE_INFINITY)
    used.delete(key)
    used.set(key, { at: now(), begunAt })
    if (used.size <= limit) return
    for (const [oldest, { at }] of used) {
      used.delete(oldest)
      unknownAt = Math.max(unknownAt, at)
      break
    }
  }

  /** Nobody counts bytes as they pass: what has come since the last look came just now. */
  const lookAt = (key: string) => {
    for (const one of open.get(key)?.all() ?? []) {
      const bytes = one.bytes()
      if (bytes > one.counted || one.kind === 'request') use(key)
      one.counted = bytes
    }
  }

  return {
    enter: exchange => {
      const key = `${exchange.runtimeId} ${exchange.port}`
      const one = { ...exchange, counted: exchange.bytes() }
      const all = open.get(key) ?? new Roster()
      const place = all.enter(one)
      open.set(key, all)
      use(key, true)
      return () => {
        if (!all.leave(place)) return
        if (all.size === 0 && open.get(key) === all) open.delete(key)
        if (exchange.kind === 'request' || exchange.bytes() > one.counted) use(key)
      }
    },
    unusedMs: ({ id, ports }, told) => {
      const ages = Object.keys(ports).map(port => {
        const key = `${id} ${port}`
        if (told !== undefined && toldOf.has(port)) return now() - (used.get(key)?.begunAt ?? Number.NEGATIVE_INFINITY)
        lookAt(key)
        return now() - (used.get(key)?.at ?? unknownAt)
      })
      const least = Math.min(...ages, told ?? Number.POSITIVE_INFINITY)
      // Of one without ports nothing is known here.
      return Math.max(0, Math.floor(Number.isFinite(least) ? least : now() - unknownAt))
    },
  }
}
