import { type Db, type IssuerRow, listIssuers } from '@porthole/db'
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose'
import { Problem } from '../problem.ts'

/** What a token of a tenant's own issuer says, read by that issuer's mapping. */
export type ExternalClaims = { tenant: string; payload: JWTPayload; issuer: IssuerRow }

export type ExternalIssuers = {
  /** Whether some tenant trusts this issuer. */
  knows(issuer: string): Promise<boolean>
  /** @throws Problem `issuer-unavailable`; whatever jose throws for a token that does not hold. */
  verify(issuer: string, token: string): Promise<ExternalClaims>
  /** Forgets what it knows of issuers: one was added or removed. */
  forget(): void
}

const listMs = 5000
const awayMs = 60_000
/** Each issuer is asked on its own account: one that hangs holds up nobody else's tokens. */
const jwksOptions = { timeoutDuration: 3000, cooldownDuration: 30_000, cacheMaxAge: 600_000 }

export const createExternalIssuers = (db: Db, now: () => number): ExternalIssuers => {
  let known: { at: number; readAt: number; rows: Promise<Map<string, IssuerRow>> } | undefined
  const keySets = new Map<string, ReturnType<typeof createRemoteJWKSet>>()

  const rows = () => {
    if (!known || now() - known.at > listMs) {
      const loading = listIssuers(db).then(list => new Map(list.map(row => [row.issuer, row])))
      const before = known
      loading.catch(() => {
        // A failed look is not kept; while the database is away, what was known is good for a minute.
        known = before && now() - before.readAt < awayMs ? { ...before, at: now() } : undefined
      })
      const orBefore = loading.catch(error => {
        if (before && now() - before.readAt < awayMs) return before.rows
        throw error
      })
      known = { at: now(), readAt: now(), rows: orBefore }
    }
    return known.rows
  }
  const keySetOf = (url: string) => {
    const keySet = keySets.get(url) ?? createRemoteJWKSet(new URL(url), jwksOptions)
    keySets.set(url, keySet)
    return keySet
  }

  return {
    knows: async issuer => (await rows()).has(issuer),
    verify: async (name, token) => {
      const issuer = (await rows()).get(name)
      if (!issuer) throw new Error('nobody trusts this issuer')
      try {
        const { payload } = await jwtVerify(token, keySetOf(issuer.jwksUrl), {
          issuer: issuer.issuer,
          audience: issuer.audience,
          algorithms: issuer.algorithms,
          requiredClaims: ['exp'],
          currentDate: new Date(now()),
        })
        return { tenant: issuer.tenant, payload, issuer }
      } catch (cause) {
        // What the token is worth is not known: neither in nor "invalid".
        if (!isAboutToken(cause))
          throw new Problem('issuer-unavailable', {
            detail: "the keys of the token's issuer could not be fetched",
            retryAfterSeconds: 5,
            cause,
          })
        throw cause
      }
    },
    forget: () => {
      known = undefined
      keySets.clear()
    },
  }
}

/** Whether jose has judged the token, and not merely failed to get the keys. */
const isAboutToken = (error: unknown): boolean =>
  error instanceof errors.JOSEError &&
  !(error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid || error.code === 'ERR_JOSE_GENERIC')
