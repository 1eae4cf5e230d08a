import type { Access } from '@porthole/protocol'
import { z } from 'zod'
import type { OwnerHash } from '../identity/owner.ts'
import { tenantSlug } from '../tokens/caller.ts'
import type { Issuer } from '../tokens/issuer.ts'

/** Where a person's browser goes with a one-use ticket; the answer is a cookie and the same page without the ticket. */
export const ticketUrl = (base: string, ownerHash: string, token: string): string =>
  `${base}/view/${ownerHash}/vnc.html?path=view/${ownerHash}/websockify&ticket=${token}`

/** The live view's page, after the ticket was exchanged. */
export const cleanViewPath = (basePath: string, ownerHash: string): string =>
  `${basePath}/view/${ownerHash}/vnc.html?path=view/${ownerHash}/websockify`

/** What a view cookie says: who may watch (or drive) which owner's runtime. */
export type ViewPass = { tenant: string; ownerHash: OwnerHash; access: Access; subject: string }

export const viewCookie = 'porthole_view'
const viewAudience = 'porthole-view'
/** A working day; the ticket itself is good for a minute. */
export const viewPassSeconds = 8 * 3600

const claims = z.object({
  tenant: tenantSlug,
  ownerHash: z.string(),
  access: z.enum(['control', 'view']),
  sub: z.string().default(''),
})

export const signViewPass = (issuer: Issuer, pass: ViewPass, seconds: number): Promise<string> =>
  issuer.sign(
    { tenant: pass.tenant, ownerHash: pass.ownerHash, access: pass.access, sub: pass.subject },
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
    return { tenant: pass.tenant, ownerHash, access: pass.access, subject: pass.sub }
  } catch {
    return undefined
  }
}
