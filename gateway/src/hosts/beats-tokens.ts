import { heartbeatAudience, maxLifetimeSeconds } from '@porthole/protocol'
import { type CryptoKey, importJWK, jwtVerify } from 'jose'

/**
 * Checks what hosts sign, and remembers what was good: a host uses its token for several heartbeats. It says whose a
 * token is, not whether that host may still come: a removed one is found out by what is asked of the database next, so
 * nothing here outlives a removal.
 */
export type HostTokens = {
  /** @throws NotItsOwn unless the token was signed by this host, for us, just now; and whatever the database says */
  check(id: string, token: string): Promise<void>
  /** The host was removed: nothing more is remembered of it. */
  forget(id: string): void
}

/** There is no such host, or the token is not its own. */
export class NotItsOwn extends Error {
  override name = 'NotItsOwn'
}

/** Seconds by which a host's clock may stray from ours between two answers. */
const clockTolerance = 30

type Known = { key: CryptoKey; token: string; goodUntil: number }

/**
 * @param publicKeyOf a host's raw Ed25519 key, base64url; a host that comes with another key is another host, so it is
 *   asked once
 * @param now milliseconds since the epoch
 * @param most hosts remembered; the oldest goes first
 */
export const createHostTokens = ({
  publicKeyOf,
  now,
  most = 20_000,
}: {
  publicKeyOf(id: string): Promise<string | undefined>
  now(): number
  most?: number
}): HostTokens => {
  const known = new Map<string, Known>()

  const keyOf = async (id: string): Promise<CryptoKey> => {
    const x = await publicKeyOf(id)
    if (x === undefined) throw new NotItsOwn('there is no such host')
    try {
      return (await importJWK({ kty: 'OKP', crv: 'Ed25519', x }, 'EdDSA')) as CryptoKey
    } catch (cause) {
      throw new NotItsOwn('its key is none', { cause })
    }
  }

  const verify = async (id: string, token: string, key: CryptoKey): Promise<number> => {
    try {
      const { payload } = await jwtVerify(token, key, {
        issuer: id,
        audience: heartbeatAudience,
        algorithms: ['EdDSA'],
        maxTokenAge: maxLifetimeSeconds,
        clockTolerance,
        currentDate: new Date(now()),
      })
      return Math.min(payload.exp ?? Number.POSITIVE_INFINITY, (payload.iat ?? 0) + maxLifetimeSeconds) * 1000
    } catch (cause) {
      throw new NotItsOwn('the token does not hold', { cause })
    }
  }

  return {
    check: async (id, token) => {
      const before = known.get(id)
      if (before?.token === token && now() < before.goodUntil) return
      const key = before?.key ?? (await keyOf(id))
      const goodUntil = await verify(id, token, key)
      known.delete(id)
      for (const oldest of known.keys()) {
        if (known.size < most) break
        known.delete(oldest)
      }
      known.set(id, { key, token, goodUntil })
    },
    forget: id => void known.delete(id),
  }
}
