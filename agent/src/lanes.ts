import { untilAborted } from './engine/deadline.ts'
import { AgentError } from './problems.ts'

/** Work under one key runs one at a time, in the order it came; work under different keys doesn't wait. */
export type Lanes = {
  /**
   * @param signal ends the wait for a turn, not the work
   * @throws `busy` when too many wait, the signal's reason, or what `work` throws
   */
  run<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T>
}

/**
 * @param maxWaiting how many may wait under one key
 */
export const createLanes = (maxWaiting: number): Lanes => {
  const lanes = new Map<string, { last: Promise<void>; size: number }>()
  return {
    run: async (key, work, signal) => {
      const lane = lanes.get(key) ?? { last: Promise.resolve(), size: 0 }
      if (lane.size > maxWaiting) throw new AgentError('busy', { detail: 'too many commands wait for this runtime' })
      lanes.set(key, lane)
      lane.size++
      const mine = Promise.withResolvers<void>()
      const before = lane.last
      lane.last = before.then(() => mine.promise)
      try {
        await (signal ? untilAborted(signal, before) : before)
        return await work()
      } finally {
        mine.resolve()
        lane.size--
        if (lane.size === 0) lanes.delete(key)
      }
    },
  }
}
