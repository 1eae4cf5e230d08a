/** Something of a client's that is under way to a port. */
export type Exchange = {
  runtimeId: string
  port: string
  kind: 'request' | 'socket'
  /** Bytes that have come from the client so far. */
  bytes(): number
}

/**
 * When the ports of this host's runtimes were last used: a request that begins or ends, bytes from a client, and a call of `rpc`
 * for as long as it lasts. All use of a runtime passes here; a container that tells pings and screen updates from it knows
 * better (`told`), of the ports that it sees to itself.
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

/**
 * @param options.now milliseconds of any clock that only moves forward
 * @param options.limit ports remembered; beyond it the one longest unused is forgotten
 */
export const createUses = ({ now = () => performance.now(), limit = 20_000 } = {}): Uses => {
  const usedAt = new Map<string, number>()
  const open = new Map<string, Set<Open>>()
  /** What is not remembered was used then at the latest. */
  let unknownAt = now()

  const use = (key: string) => {
    usedAt.delete(key)
    usedAt.set(key, now())
    if (usedAt.size <= limit) return
    for (const [oldest, at] of usedAt) {
      usedAt.delete(oldest)
      unknownAt = Math.max(unknownAt, at)
      break
    }
  }

  /** Nobody counts bytes as they pass: what has come since the last look came just now. */
  const lookAt = (key: string, port: string) => {
    for (const one of open.get(key) ?? []) {
      const bytes = one.bytes()
      if (bytes > one.counted || (one.kind === 'request' && port === 'rpc')) use(key)
      one.counted = bytes
    }
  }

  return {
    enter: exchange => {
      const key = `${exchange.runtimeId} ${exchange.port}`
      const one = { ...exchange, counted: exchange.bytes() }
      const all = open.get(key) ?? new Set()
      open.set(key, all.add(one))
      use(key)
      return () => {
        if (!all.delete(one)) return
        if (all.size === 0 && open.get(key) === all) open.delete(key)
        if (exchange.kind === 'request' || exchange.bytes() > one.counted) use(key)
      }
    },
    unusedMs: ({ id, ports }, told) => {
      const ages = Object.keys(ports)
        .filter(port => told === undefined || !toldOf.has(port))
        .map(port => {
          const key = `${id} ${port}`
          lookAt(key, port)
          return now() - (usedAt.get(key) ?? unknownAt)
        })
      const least = Math.min(...ages, told ?? Number.POSITIVE_INFINITY)
      // Of one without ports nothing is known here.
      return Math.max(0, Math.floor(Number.isFinite(least) ? least : now() - unknownAt))
    },
  }
}
