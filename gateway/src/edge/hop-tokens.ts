import { type Access, maxLifetimeSeconds } from '@porthole/protocol'
import type { Issuer } from '../tokens/issuer.ts'

/** What a hop token is good for: one generation of one runtime on one host. */
export type HopPlace = { host: string; runtime: string; generation: number; access: Access }

/** Hop tokens, each signed once and used for as long as it is good: a signature costs more than all else on the way. */
export type HopTokens = {
  to(place: HopPlace): Promise<string>
  /** Forgets them all: the key that they are signed with may have been withdrawn. */
  forget(): void
}

/** Milliseconds before its end from which on a token is used no more: it has to arrive, and clocks differ. */
const spareMs = 15_000
const maxKept = 50_000

/** @param now milliseconds since the epoch */
export const createHopTokens = (issuer: Pick<Issuer, 'sign'>, now: () => number): HopTokens => {
  /** The one signed last is last. */
  const kept = new Map<string, { token: Promise<string>; until: number }>()

  const sign = ({ host, runtime, generation, access }: HopPlace) =>
    issuer.sign({ use: 'hop', sub: runtime, gen: generation, access }, { audience: host, seconds: maxLifetimeSeconds })

  return {
    to: place => {
      const key = `${place.host} ${place.runtime} ${place.generation} ${place.access}`
      const found = kept.get(key)
      // A clock that was set back must not make one last longer.
      const left = found ? found.until - now() : 0
      if (found && left > 0 && left <= maxLifetimeSeconds * 1000 - spareMs) return found.token
      const token = sign(place)
      const entry = { token, until: now() + maxLifetimeSeconds * 1000 - spareMs }
      kept.delete(key)
      const oldest = kept.size >= maxKept ? kept.keys().next().value : undefined
      if (oldest !== undefined) kept.delete(oldest)
      kept.set(key, entry)
      token.catch(() => {
        if (kept.get(key) === entry) kept.delete(key)
      })
      return token
    },
    forget: () => kept.clear(),
  }
}
