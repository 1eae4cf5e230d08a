/** Wakes sleepers by key. */
export type Bell = {
  ring(key: string): void
  ringAll(): void
  /** `heard` resolves at the next ring, after `ms`, or on abort; `leave` ends the wait. */
  listen(key: string, ms: number, signal: AbortSignal | undefined): { heard: Promise<void>; leave(): void }
}

export const createBell = (): Bell => {
  const sleepers = new Map<string, Set<() => void>>()
  const ring = (key: string): void => {
    for (const wake of [...(sleepers.get(key) ?? [])]) wake()
  }
  return {
    ring,
    ringAll: () => {
      for (const key of [...sleepers.keys()]) ring(key)
    },
    listen: (key, ms, signal) => {
      let leave = () => {}
      const heard = new Promise<void>(resolve => {
        leave = () => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', leave)
          const here = sleepers.get(key)
          here?.delete(leave)
          if (here?.size === 0) sleepers.delete(key)
          resolve()
        }
        const timer = setTimeout(leave, ms)
        signal?.addEventListener('abort', leave)
        sleepers.set(key, (sleepers.get(key) ?? new Set()).add(leave))
      })
      return { heard, leave }
    },
  }
}
