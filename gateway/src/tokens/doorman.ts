import { hash } from 'node:crypto'
import { Problem } from '../problem.ts'
import type { Access } from './access.ts'
import { bearerOf, type Caller, notValid, tokenFrom, verifyBearer } from './caller.ts'
import type { ExternalIssuers } from './external.ts'
import type { Issuer } from './issuer.ts'

/**
 * Tells who is asking. A signature is checked once per token; expiry, revocation, suspension, and whether its issuer is
 * trusted, every time.
 */
export type Doorman = {
  /** @throws Problem `unauthorized`, `tenant-suspended`, `issuer-unavailable` */
  admit(authorization: string | undefined): Promise<Caller>
  /** The same without asking anybody; undefined: `admit` has to be asked. */
  known(authorization: string | undefined): Caller | undefined
  /** Whether what was admitted once still is: for open sockets and cookies. */
  isWelcome(visit: Pick<Caller, 'tenant' | 'tokenId' | 'issuerId' | 'expiresAt'>): boolean
  /** Forgets verified tokens: keys or issuers have changed. */
  forget(): void
}

const maxVerified = 20_000
/** A token is verified anew after this time, so that a key that was withdrawn ends with it. */
const verifiedMs = 60_000

type Parts = { issuer: Issuer; externals: ExternalIssuers; access: Access; now(): number }

export const createDoorman = ({ issuer, externals, access, now }: Parts): Doorman => {
  /** By the token's digest: a dump of this memory holds no credential. Oldest first. */
  const verified = new Map<string, { caller: Caller; at: number }>()

  let forgotten = 0

  const remember = (digest: string, caller: Caller) => {
    const oldest = verified.size >= maxVerified ? verified.keys().next().value : undefined
    if (oldest !== undefined) verified.delete(oldest)
    verified.set(digest, { caller, at: now() })
  }

  const digestOf = (token: string) => hash('sha256', token, 'base64')
  const verifiedAs = (digest: string): Caller | undefined => {
    const known = verified.get(digest)
    if (!known || now() - known.at >= verifiedMs || known.caller.expiresAt * 1000 <= now()) return undefined
    return known.caller
  }

  const callerOf = async (token: string): Promise<Caller> => {
    const digest = digestOf(token)
    const known = verifiedAs(digest)
    if (known) return known
    verified.delete(digest)
    const before = forgotten
    const caller = await verifyBearer(issuer, externals, token)
    // What was verified with keys that were withdrawn meanwhile is not remembered.
    if (before === forgotten) remember(digest, caller)
    return caller
  }

  const isWelcome: Doorman['isWelcome'] = ({ tenant, tokenId, issuerId, expiresAt }) =>
    !access.isRevoked(tokenId) && access.isTrusted(issuerId) && !access.isSuspended(tenant) && expiresAt * 1000 > now()

  return {
    known: authorization => {
      const token = bearerOf(authorization)
      const caller = token === undefined ? undefined : verifiedAs(digestOf(token))
      return caller && isWelcome(caller) ? caller : undefined
    },
    admit: async authorization => {
      const caller = await callerOf(tokenFrom(authorization))
      if (access.isRevoked(caller.tokenId)) throw new Problem('unauthorized', { detail: 'the token was revoked' })
      // By the same look that open sockets go by: none is opened that the next one would cut.
      if (!access.isTrusted(caller.issuerId)) throw notValid()
      if (access.isSuspended(caller.tenant)) throw new Problem('tenant-suspended')
      return caller
    },
    isWelcome,
    forget: () => {
      forgotten++
      verified.clear()
    },
  }
}
