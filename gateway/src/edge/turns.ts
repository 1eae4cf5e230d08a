import pLimit, { type LimitFunction } from 'p-limit'
import { Problem } from '../problem.ts'

/** Lets each tenant do a few things at a time, and the rest in order. */
export type Turns = <T>(tenant: string, work: () => Promise<T>) => Promise<T>

/**
 * @param waiting most that may be in a tenant's line
 * @throws Problem `rate-limited` for one more
 */
export const createTurns = ({ atOnce, waiting }: { atOnce: number; waiting: number }): Turns => {
  const lines = new Map<string, LimitFunction>()
  return async (tenant, work) => {
    const line = lines.get(tenant) ?? pLimit(atOnce)
    if (line.pendingCount >= waiting)
      throw new Problem('rate-limited', {
        detail: 'too many of the tenant ask for what is not known at once; wait for some of them',
        retryAfterSeconds: 1,
      })
    lines.set(tenant, line)
    try {
      return await line(work)
    } finally {
      if (line.activeCount + line.pendingCount === 0 && lines.get(tenant) === line) lines.delete(tenant)
    }
  }
}
