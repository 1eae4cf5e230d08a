import { type Access, maxLifetimeSeconds } from '@porthole/protocol'
import type { Issuer } from '../tokens/issuer.ts'

/** What a hop token is good for: one generation of one runtime on one host. */
export type HopPlace = { host: string; runtime: string; generation: number; access: Access }

/** Hop tokens, each signed once and used for as long as it is good: a signature costs more than all else on the way. */
export type HopTokens = {
  to(place: HopPlace): Promise<string>
  /** One that is signed already; undefined: `to` has to be asked. */
  known(place: HopPlace): string | undefined
  /** Forgets them all: the key that they are signed with may have been withdrawn. */
  forget(): void
}

/** Milliseconds before its end from which on a token is used no more: it has to arrive, and clocks differ. */
const spareMs = 15_000
type Kept = { token: Promise<string>; signed?: string; until: number }
const maxKept = 50_000

/** @param now milliseconds since the epoch */
export const createHopTokens = (issuer: Pick<Issuer, 'sign'>, now: () => number): HopTokens => {
  /** The one signed last is last. */
  const kept = new Map<string, Kept>()

  const sign = ({ host, runtime, generation, access }: HopPlace) =>
    issuer.sign({ use: 'hop', sub: runtime, gen: generation, access }, { audience: host, seconds: maxLifetimeSeconds })

  const keyOf = ({ host, runtime, generation, access }: HopPlace) => `${host} ${runtime} ${generation} ${access}`
  const find = (key: string) => {
    const found = kept.get(key)
    // A clock that was set back must not make one last longer.
    const left = found ? found.until - now() : 0
    return left > 0 && left <= maxLifetimeSeconds * 1000 - spareMs ? found : undefined
  }

  return {
    known: place => find(keyOf(place))?.signed,
    to: place => {
      const key = keyOf(place)
      const found = find(key)
      if (found) return found.token
      const token = sign(place)
      const entry: Kept = { token, until: now() + maxLifetimeSeconds * 1000 - spareMs }
      kept.delete(key)
      const oldest = kept.size >= maxKept ? kept.keys().next().value : undefined
      if (oldest !== undefined) kept.delete(oldest)
      kept.set(key, entry)
      token.then(
        signed => {
          entry.signed = signed
        },
        () => {
          if (kept.get(key) === entry) kept.delete(key)
        },
      )
      return token
    },
    forget: () => kept.clear(),
  }
}
