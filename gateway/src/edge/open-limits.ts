import type { Limits } from '../config.ts'
import { Problem } from '../problem.ts'

export type OpenLimits = Pick<Limits, 'open' | 'openPerTenant' | 'openPerOwner'>

/** Seconds after which somebody may have closed something. */
const retryAfterSeconds = 5

/**
 * Whether one more socket or request may be open, by how many are.
 *
 * @throws Problem `too-many-open` for an owner or a tenant, `gateway-full`
 */
export const demandRoom = (limits: OpenLimits, now: { owner: number; tenant: number; all: number }): void => {
  if (now.owner >= limits.openPerOwner)
    throw new Problem('too-many-open', {
      detail: `the owner has ${now.owner} sockets and requests open on this gateway; close some of them`,
      retryAfterSeconds,
    })
  if (now.tenant >= limits.openPerTenant)
    throw new Problem('too-many-open', {
      detail: `the tenant has ${now.tenant} sockets and requests open on this gateway; close some of them`,
      retryAfterSeconds,
    })
  if (now.all >= limits.open)
    throw new Problem('gateway-full', {
      detail: 'try again, or have the operator run another gateway beside this one',
      retryAfterSeconds,
    })
}

/** Counts by name, and holds no name that counts nothing. */
export const createTally = () => {
  const counts = new Map<string, number>()
  return {
    of: (name: string): number => counts.get(name) ?? 0,
    add: (name: string, change: 1 | -1): void => {
      const count = (counts.get(name) ?? 0) + change
      if (count > 0) counts.set(name, count)
      else counts.delete(name)
    },
  }
}
