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

/** What a view cookie says: who may watch (or drive) which owner's runtime, and by which token. */
export type ViewPass = Pick<Caller, 'tenant' | 'subject' | 'tokenId' | 'expiresAt'> & {
  ownerHash: OwnerHash
  access: Access
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
  exp: z.number(),
})

export const signViewPass = (
  issuer: Issuer,
  { tenant, ownerHash, access, subject, tokenId }: Omit<ViewPass, 'expiresAt'>,
  seconds: number,
): Promise<string> =>
  issuer.sign(
    { tenant, ownerHash, access, sub: subject, ...(tokenId === undefined ? {} : { tid: tokenId }) },
    { audience: viewAudience, seconds },
  )

/** The pass in a cookie, if it is one of ours, in time, and for this very owner. */
export const readViewPass = async (
  issuer: Issuer,
  cookie: string | undefined,
  ownerHash: OwnerHash,
): Promise<ViewPass | undefined> => {
  if (!cookie) return undefined
  try {
    const pass = claims.parse(await issuer.verify(cookie, viewAudience))
    if (pass.ownerHash !== ownerHash) return undefined
    const { tenant, access, sub: subject, tid: tokenId, exp: expiresAt } = pass
    return { tenant, ownerHash, access, subject, tokenId, expiresAt }
  } catch {
    return undefined
  }
}
