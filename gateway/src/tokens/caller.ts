import { z } from 'zod'
import { Problem } from '../problem.ts'
import type { Issuer } from './issuer.ts'

export const scopes = [
  'runtimes:read',
  'runtimes:write',
  'runtimes:connect',
  'profiles:write',
  'specs:write',
  'tokens:write',
  'hosts:admin',
  'tenants:admin',
] as const
export type Scope = (typeof scopes)[number]

/** Audience of the tokens that callers carry. */
export const callerAudience = 'porthole'

/** Who is asking, out of a verified token and nothing else. */
export type Caller = {
  tenant: string
  subject: string
  scopes: ReadonlySet<string>
  /** When set, the token is good for this owner only. */
  owner: string | undefined
  /** Seconds since the epoch. */
  expiresAt: number
}

export const tenantSlug = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/)

const claims = z.object({
  tenant: tenantSlug,
  sub: z.string().max(256).default(''),
  scope: z.string().max(1024).default(''),
  owner: z.string().max(512).optional(),
  exp: z.number(),
})

/** Signs a caller's token. @param seconds lifetime */
export const mintToken = (
  issuer: Issuer,
  caller: { tenant: string; subject: string; scopes: readonly Scope[]; owner?: string; jti: string },
  seconds: number,
): Promise<string> =>
  issuer.sign(
    {
      tenant: caller.tenant,
      sub: caller.subject,
      scope: caller.scopes.join(' '),
      jti: caller.jti,
      ...(caller.owner === undefined ? {} : { owner: caller.owner }),
    },
    { audience: callerAudience, seconds },
  )

const unauthorized = (detail: string, cause?: unknown) => new Problem('unauthorized', { detail, cause })

/** The credentials of an `Authorization: Bearer` header (RFC 6750 section 2.1). */
export const bearerOf = (authorization: string | undefined): string | undefined =>
  authorization === undefined ? undefined : /^bearer +([\w~+/.=-]+) *$/i.exec(authorization)?.[1]

/**
 * Who a bearer token speaks for.
 *
 * @throws Problem `unauthorized`; the detail never says which check failed beyond "expired", so it helps no forger.
 */
export const authenticate = async (issuer: Issuer, authorization: string | undefined): Promise<Caller> => {
  if (!authorization) throw unauthorized('send Authorization: Bearer <token>')
  const token = bearerOf(authorization)
  if (!token || token.length > 8192) throw unauthorized('the Authorization header is not "Bearer <token>"')
  try {
    const parsed = claims.parse(await issuer.verify(token, callerAudience))
    return {
      tenant: parsed.tenant,
      subject: parsed.sub,
      scopes: new Set(parsed.scope.split(' ').filter(Boolean)),
      owner: parsed.owner,
      expiresAt: parsed.exp,
    }
  } catch (cause) {
    if (isDatabaseFault(cause)) throw cause
    const expired = cause instanceof Error && 'code' in cause && cause.code === 'ERR_JWT_EXPIRED'
    throw unauthorized(expired ? 'the token has expired' : 'the token is not valid here', cause)
  }
}

/** A lookup of keys that failed says nothing about the token. */
const isDatabaseFault = (error: unknown): boolean => error instanceof Error && !('claim' in error) && 'query' in error

/** @throws Problem `insufficient-scope` */
export const demand = (caller: Caller, scope: Scope): void => {
  if (!caller.scopes.has(scope))
    throw new Problem('insufficient-scope', { detail: `the token lacks the scope ${scope}`, members: { scope } })
}
