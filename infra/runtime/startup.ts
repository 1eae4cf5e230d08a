import { setTimeout as sleep } from 'node:timers/promises'

/** Steps of a start inside the container, in their order. */
export type StartStep = 'boot' | 'display' | 'browser'

/** How a start goes on: what its steps took, and who waits for its end. */
export type Startup = {
  /** A step has ended: it took the time since the one before, or since this process began. */
  mark(step: StartStep): void
  /** What the steps so far took, in milliseconds. */
  steps(): Partial<Record<StartStep, number>>
  /** Everything has been started. */
  finish(): void
  /** Resolves once everything has been started, `ms` milliseconds have passed, or `signal` is aborted. Never rejects. */
  finished(ms: number, signal: AbortSignal): Promise<void>
}

/** @param now milliseconds since this process began */
export const createStartup = (now: () => number = () => performance.now()): Startup => {
  const took: Partial<Record<StartStep, number>> = {}
  const end = Promise.withResolvers<void>()
  let isOver = false
  let last = 0
  return {
    mark: step => {
      took[step] = Math.round(now() - last)
      last = now()
    },
    steps: () => took,
    finish: () => {
      isOver = true
      end.resolve()
    },
    finished: async (ms, signal) => {
      if (isOver || ms <= 0) return
      const over = new AbortController()
      const patience = sleep(ms, undefined, { signal: AbortSignal.any([signal, over.signal]) })
      await Promise.race([end.promise, patience]).catch(() => {})
      over.abort()
    },
  }
}

/** The longest that an answer is held back, in milliseconds. */
const longestWaitMs = 10_000

/** Milliseconds that a client would rather wait than be told to come again: `Prefer: wait=2` (RFC 7240, section 4.3). */
export const preferredWaitMs = (header: string | string[] | undefined): number => {
  const [, seconds] = /(?:^|[,;\s])wait=(\d{1,5})(?:$|[,;\s])/i.exec([header ?? ''].flat().join(',')) ?? []
  return Math.min(Number(seconds ?? 0) * 1000, longestWaitMs)
}
