import type { StartSteps } from '@porthole/protocol'
import type { Outcome } from './readiness.ts'

/** Times the steps of one start, one after the other. */
export type Steps = {
  /** Does a part of the start and adds what it took to its step. */
  time<T>(step: string, work: () => Promise<T>): Promise<T>
  /**
   * The wait until the container answers, cut into what the container tells of it and the rest, `answer`: its engine's, its
   * network's, and that of the first answer itself.
   */
  timeAnswer(work: () => Promise<Outcome>): Promise<Outcome>
  /** Milliseconds by step, whole ones. */
  took(): StartSteps
}

/** @param now milliseconds, by a clock that is never set */
export const timeSteps = (now: () => number = () => performance.now()): Steps => {
  const took: Record<string, number> = {}
  const add = (step: string, ms: number) => {
    took[step] = (took[step] ?? 0) + ms
  }
  return {
    time: async (step, work) => {
      const from = now()
      try {
        return await work()
      } finally {
        add(step, now() - from)
      }
    },
    timeAnswer: async work => {
      const from = now()
      const outcome = await work()
      const told = Object.entries(outcome.end === 'ready' ? (outcome.steps ?? {}) : {})
      for (const [step, ms] of told) add(step, ms)
      // Its clock begins before the engine says that it has started it.
      add('answer', Math.max(0, now() - from - told.reduce((sum, [, ms]) => sum + ms, 0)))
      return outcome
    },
    took: () => Object.fromEntries(Object.entries(took).map(([step, ms]) => [step, Math.round(ms)])),
  }
}
