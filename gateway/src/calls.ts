import { Problem } from './problem.ts'

/** Counts the calls that each tenant has under way, so that one cannot take the whole database from the others. */
export type Calls = {
  /** @returns what to call when the call is over @throws Problem `rate-limited` */
  enter(tenant: string): () => void
}

/** Quick calls that a tenant may have under way at a time, per gateway: several times what its users need at once. */
const maxPerTenant = 64

export const createCalls = (most = maxPerTenant): Calls => {
  const underWay = new Map<string, number>()
  return {
    enter: tenant => {
      const count = underWay.get(tenant) ?? 0
      if (count >= most)
        throw new Problem('rate-limited', {
          detail: `the tenant has ${count} calls under way at once; wait for some of them`,
          retryAfterSeconds: 1,
        })
      underWay.set(tenant, count + 1)
      let isOver = false
      return () => {
        if (isOver) return
        isOver = true
        const left = (underWay.get(tenant) ?? 1) - 1
        if (left > 0) underWay.set(tenant, left)
        else underWay.delete(tenant)
      }
    },
  }
}
