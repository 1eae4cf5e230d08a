import { type Database, findRuntimeById, type RuntimeRow, runtimeChannel } from '@porthole/db'
import { type Bell, createBell } from './bell.ts'

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
  /** `heard` resolves when the runtime is said to have moved, after `ms`, or on abort; `leave` ends the wait. */
  listen: Bell['listen']
  /** Calls `listener` with the id of every runtime that is said to have moved. */
  onMove(listener: (id: string) => void): void
  close(): Promise<void>
}

const pollMs = 1000

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
    listen: bell.listen,
    onMove: listener => void listeners.add(listener),
    close: unlisten,
  }
}
