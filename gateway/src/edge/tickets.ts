import { createHash } from 'node:crypto'
import type { Ticket } from '@porthole/db'
import type { Access } from '@porthole/protocol'
import { z } from 'zod'
import type { OwnerHash } from '../identity/owner.ts'
import { type Caller, tenantSlug } from '../tokens/caller.ts'
import type { Issuer } from '../tokens/issuer.ts'

/** Where a person's browser goes with a one-use ticket; the answer is a cookie and the same page without the ticket. */
export const ticketUrl = (base: string, ownerHash: string, token: string): string =>
  `${base}/view/${ownerHash}/vnc.html?path=view/${ownerHash}/websockify&ticket=${token}`

/** The live view's page, after the ticket was exchanged. */
export const cleanViewPath = (basePath: string, ownerHash: string): string =>
  `${basePath}/view/${ownerHash}/vnc.html?path=view/${ownerHash}/websockify`

/**
 * A ticket as a person's browser brings it, if it has the form of one: what more there could be in a query would have a
 * say in what the ticket opens.
 */
export const ticketIn = (query: string | undefined): string | undefined =>
  query !== undefined && /^tk_[\w-]{43}$/.test(query) ? query : undefined

/** Under which a ticket for the view is kept. No other kind's begins like it: what opens one thing opens no other. */
export const viewTicketKey = (token: string): string => `view ${token}`

/** What a view cookie says: who may watch (or drive) which owner's runtime, and by which token. */
export type ViewPass = Pick<Caller, 'tenant' | 'subject' | 'tokenId' | 'issuerId' | 'expiresAt'> & {
  ownerHash: OwnerHash
  access: Access
}

/** What a ticket that was taken lets in. Ends with the token that the ticket was made with. */
export const passOfTicket = (ticket: Ticket): ViewPass => {
  const { tenant, access, subject, tokenId, issuerId, goodUntil } = ticket
  return {
    ...{ tenant, access, subject, ownerHash: ticket.ownerHash as OwnerHash },
    tokenId: tokenId ?? undefined,
    issuerId: issuerId ?? undefined,
    expiresAt: goodUntil.getTime() / 1000,
  }
}

export const viewCookie = 'porthole_view'
const viewAudience = 'porthole-view'
/** A working day; the ticket itself is good for a minute. */
export const viewPassSeconds = 8 * 3600

const claims = z.object({
  tenant: tenantSlug,
  ownerHash: z.string(),
  access: z.enum(['control', 'view']),
  sub: z.string().default(''),
  tid: z.string().optional(),
  iid: z.string().optional(),
  exp: z.number(),
})

export const signViewPass = (
  issuer: Issuer,
  { tenant, ownerHash, access, subject, tokenId, issuerId }: Omit<ViewPass, 'expiresAt'>,
  seconds: number,
  audience = viewAudience,
): Promise<string> =>
  issuer.sign(
    {
      ...{ tenant, ownerHash, access, sub: subject },
      ...(tokenId === undefined ? {} : { tid: tokenId }),
      ...(issuerId === undefined ? {} : { iid: issuerId }),
    },
    { audience, seconds },
  )

const verifyPass = async (
  issuer: Pick<Issuer, 'verify'>,
  cookie: string,
  audience: string,
): Promise<ViewPass | undefined> => {
  try {
    const pass = claims.parse(await issuer.verify(cookie, audience))
    const { tenant, access, sub: subject, tid: tokenId, iid: issuerId, exp: expiresAt } = pass
    return { tenant, ownerHash: pass.ownerHash as OwnerHash, access, subject, tokenId, issuerId, expiresAt }
  } catch {
    return undefined
  }
}

/** Reads view cookies. A signature is checked once per cookie; its time, and whose it is, every time. */
export type ViewPasses = {
  /** The pass in a cookie, if it is one of ours, in time, and for this very owner and use; of the view unless told. */
  read(cookie: string | undefined, ownerHash: OwnerHash, audience?: string): Promise<ViewPass | undefined>
  /** Forgets what was verified: keys have changed. */
  forget(): void
}

const maxVerified = 20_000
/** Milliseconds after which a cookie is verified anew, so that a key that was withdrawn ends with it. */
const verifiedMs = 60_000

/** @param now milliseconds since the epoch */
export const createViewPasses = (issuer: Pick<Issuer, 'verify'>, now: () => number): ViewPasses => {
  /** By the cookie's digest: a dump of this memory holds no credential. Oldest first. */
  const verified = new Map<string, { pass: ViewPass; at: number }>()
  let forgotten = 0

  const passIn = async (cookie: string, audience: string): Promise<ViewPass | undefined> => {
    const digest = createHash('sha256').update(`${audience} ${cookie}`).digest('base64')
    const known = verified.get(digest)
    if (known && now() - known.at < verifiedMs && known.pass.expiresAt * 1000 > now()) return known.pass
    verified.delete(digest)
    const before = forgotten
    const pass = await verifyPass(issuer, cookie, audience)
    // What was verified with keys that were withdrawn meanwhile is not remembered.
    if (!pass || before !== forgotten) return pass
    const oldest = verified.size >= maxVerified ? verified.keys().next().value : undefined
    if (oldest !== undefined) verified.delete(oldest)
    verified.set(digest, { pass, at: now() })
    return pass
  }

  return {
    read: async (cookie, ownerHash, audience = viewAudience) => {
      const pass = cookie ? await passIn(cookie, audience) : undefined
      return pass?.ownerHash === ownerHash ? pass : undefined
    },
    forget: () => {
      forgotten++
      verified.clear()
    },
  }
}
