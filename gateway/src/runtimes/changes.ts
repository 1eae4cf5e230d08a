import { type Database, findRuntimeById, type RuntimeRow, runtimeChannel } from '@porthole/db'

/** Tells who waits for a runtime that it has moved. NOTIFY is the hint; a look a second makes up for lost ones. */
export type Changes = {
  /**
   * Waits until `done` says so of the row, and returns it; undefined when the time is up (or there is no such row).
   *
   * @param ms how long at most
   */
  until(
    id: string,
    done: (row: RuntimeRow) => boolean,
    ms: number,
    signal?: AbortSignal,
  ): Promise<RuntimeRow | undefined>
  /** Calls `listener` with the id of every runtime that is said to have moved. */
  onMove(listener: (id: string) => void): void
  close(): Promise<void>
}

const pollMs = 1000

/** Wakes sleepers by key. */
const createBell = () => {
  const sleepers = new Map<string, Set<() => void>>()
  const ring = (key: string) => {
    for (const wake of [...(sleepers.get(key) ?? [])]) wake()
  }
  return {
    ring,
    ringAll: () => {
      for (const key of [...sleepers.keys()]) ring(key)
    },
    /** `heard` resolves at the next ring, after `ms`, or on abort; `leave` ends the wait. */
    listen: (key: string, ms: number, signal: AbortSignal | undefined) => {
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

export const listenForChanges = async ({ db, listen }: Pick<Database, 'db' | 'listen'>): Promise<Changes> => {
  const bell = createBell()
  // After a reconnect some hints are lost: everybody looks again.
  const listeners = new Set<(id: string) => void>()
  const moved = (id: string) => {
    bell.ring(id)
    for (const listener of listeners) listener(id)
  }
  const { unlisten } = await listen(runtimeChannel, moved, bell.ringAll)
  return {
    until: async (id, done, ms, signal) => {
      const deadline = performance.now() + ms
      for (;;) {
        const left = deadline - performance.now()
        // Listening starts before the row is read, so that a move in between is heard.
        const { heard, leave } = bell.listen(id, Math.max(0, Math.min(pollMs, left)), signal)
        try {
          const row = await findRuntimeById(db, id)
          if (row && done(row)) return row
          if (!row || left <= 0 || signal?.aborted) return undefined
          await heard
        } finally {
          leave()
        }
      }
    },
    onMove: listener => void listeners.add(listener),
    close: unlisten,
  }
}
