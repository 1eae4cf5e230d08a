import { type IssuerRow, warmTenant } from '@porthole/db'
import { decodeJwt, type JWTPayload } from 'jose'
import { z } from 'zod'
import { type Mode, modes } from '../identity/owner.ts'
import { Problem } from '../problem.ts'
import type { ExternalIssuers } from './external.ts'
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

/** What concerns a whole installation: never for tokens of a tenant's own issuer. */
export const operatorScopes: readonly Scope[] = ['hosts:admin', 'tenants:admin']
export const tenantScopes: readonly Scope[] = scopes.filter(scope => !operatorScopes.includes(scope))

/** Audience of the tokens that callers carry. */
export const callerAudience = 'porthole'

/** Who is asking, out of a verified token and nothing else. */
export type Caller = {
  tenant: string
  subject: string
  scopes: ReadonlySet<string>
  /** When set, the token is good for this owner only: a name alone would be another's in another mode. */
  owner: { mode: Mode; name: string } | undefined
  /** The token's id, by which it can be revoked. */
  tokenId: string | undefined
  /** The tenant's own issuer who signed it, by id, which can be distrusted; undefined: the built-in one. */
  issuerId: string | undefined
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
  mode: z.enum(modes).default('docker-per-principal'),
  jti: z.string().max(256).optional(),
  exp: z.number(),
})

/** Signs a caller's token. @param seconds lifetime */
export const mintToken = (
  issuer: Issuer,
  caller: { tenant: string; subject: string; scopes: readonly string[]; owner?: Caller['owner']; jti: string },
  seconds: number,
): Promise<string> =>
  issuer.sign(
    {
      tenant: caller.tenant,
      sub: caller.subject,
      scope: caller.scopes.join(' '),
      jti: caller.jti,
      ...(caller.owner === undefined ? {} : { owner: caller.owner.name, mode: caller.owner.mode }),
    },
    { audience: callerAudience, seconds },
  )

const unauthorized = (detail: string, cause?: unknown) => new Problem('unauthorized', { detail, cause })

/** What is said of a token whichever check it has failed, but for "expired": to say more would help forgers. */
export const notValid = (cause?: unknown): Problem => unauthorized('the token is not valid here', cause)

/** The credentials of an `Authorization: Bearer` header (RFC 6750 section 2.1). */
export const bearerOf = (authorization: string | undefined): string | undefined =>
  authorization === undefined ? undefined : /^bearer +([\w~+/.=-]+) *$/i.exec(authorization)?.[1]

const words = (value: unknown): string[] => {
  if (Array.isArray(value)) return value.filter(word => typeof word === 'string')
  return typeof value === 'string' ? value.split(' ').filter(Boolean) : []
}

/** A foreign token, read by its issuer's mapping. An owner claim that should be there and is not lets nobody in. */
const callerFrom = ({ id, tenant, claims: mapping, issuer }: IssuerRow, payload: JWTPayload): Caller => {
  // Nobody's runtimes are nobody's to reach.
  if (tenant === warmTenant) throw new Error('its issuer is of no tenant')
  const subject = payload[mapping.subject ?? 'sub']
  const owner = mapping.owner === undefined ? undefined : payload[mapping.owner]
  if (mapping.owner !== undefined && (typeof owner !== 'string' || owner === ''))
    throw new Error(`the token has no claim ${mapping.owner}`)
  const asked = mapping.scope === undefined ? mapping.scopes : words(payload[mapping.scope])
  return {
    tenant,
    subject: `${issuer}#${typeof subject === 'string' ? subject.slice(0, 256) : ''}`,
    scopes: new Set(asked.filter(scope => mapping.scopes.includes(scope) && tenantScopes.some(own => own === scope))),
    owner: typeof owner === 'string' ? { mode: mapping.mode ?? 'docker-per-principal', name: owner } : undefined,
    tokenId: payload.jti === undefined ? undefined : `${issuer}#${payload.jti}`,
    issuerId: id,
    expiresAt: payload.exp ?? 0,
  }
}

const issuerNamed = (token: string): string | undefined => {
  try {
    return decodeJwt(token).iss
  } catch {
    return undefined
  }
}

const verifyOurs = async (issuer: Issuer, token: string): Promise<Caller> => {
  const parsed = claims.parse(await issuer.verify(token, callerAudience))
  return {
    tenant: parsed.tenant,
    subject: parsed.sub,
    scopes: new Set(parsed.scope.split(' ').filter(Boolean)),
    owner: parsed.owner === undefined ? undefined : { mode: parsed.mode, name: parsed.owner },
    tokenId: parsed.jti,
    issuerId: undefined,
    expiresAt: parsed.exp,
  }
}

/**
 * Who a bearer token speaks for, by its signature and claims. Whether it was revoked since is another question.
 *
 * @throws Problem `unauthorized` (the detail never says which check failed beyond "expired", so it helps no forger),
 *   `issuer-unavailable`
 */
export const verifyBearer = async (issuer: Issuer, externals: ExternalIssuers, token: string): Promise<Caller> => {
  try {
    const named = issuerNamed(token)
    if (named !== undefined && (await externals.knows(named))) {
      const { payload, issuer: row } = await externals.verify(named, token)
      return callerFrom(row, payload)
    }
    return await verifyOurs(issuer, token)
  } catch (cause) {
    if (cause instanceof Problem || isDatabaseFault(cause)) throw cause
    const expired = cause instanceof Error && 'code' in cause && cause.code === 'ERR_JWT_EXPIRED'
    throw expired ? unauthorized('the token has expired', cause) : notValid(cause)
  }
}

/** The token of a request. @throws Problem `unauthorized` */
export const tokenFrom = (authorization: string | undefined): string => {
  if (!authorization) throw unauthorized('send Authorization: Bearer <token>')
  const token = bearerOf(authorization)
  if (!token || token.length > 8192) throw unauthorized('the Authorization header is not "Bearer <token>"')
  return token
}

/** A lookup of keys that failed says nothing about the token. */
const isDatabaseFault = (error: unknown): boolean => error instanceof Error && !('claim' in error) && 'query' in error

/** Whether a token may act on other tenants. One that is bound to an owner never may. */
export const isOperator = ({ scopes, owner }: Caller): boolean => scopes.has('tenants:admin') && owner === undefined

/** @throws Problem `insufficient-scope` */
export const demand = (caller: Caller, scope: Scope): void => {
  if (caller.owner && operatorScopes.includes(scope))
    throw new Problem('insufficient-scope', { detail: 'the token is good for one owner only', members: { scope } })
  if (!caller.scopes.has(scope))
    throw new Problem('insufficient-scope', { detail: `the token lacks the scope ${scope}`, members: { scope } })
}
