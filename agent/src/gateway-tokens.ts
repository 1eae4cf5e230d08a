import { type Access, gatewayIssuer, generation, maxLifetimeSeconds, runtimeId } from '@porthole/protocol'
import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { z } from 'zod'
import { AgentError } from './problems.ts'

/** What a hop token lets its bearer do. */
export type Hop = { runtimeId: string; generation: number; access: Access }

/** Checks what the gateway signs. Both throw `unauthorized`, or `keys-unavailable` when the gateway's keys can't be had. */
export type GatewayTokens = {
  command(token: string | undefined): Promise<void>
  hop(token: string | undefined): Promise<Hop>
}

const commandClaims = z.object({ use: z.literal('command') })
const hopClaims = z.object({
  use: z.literal('hop'),
  sub: runtimeId,
  gen: generation,
  access: z.enum(['control', 'view']),
  exp: z.number(),
  iat: z.number(),
})

/** Seconds by which the clocks of gateway and host may differ. */
const clockTolerance = 30
const rememberedHops = 10_000

/**
 * @param keys the gateway's JWKS
 * @param now milliseconds since the epoch
 */
export const createGatewayTokens = (
  keys: JWTVerifyGetKey,
  hostId: string,
  now: () => number = Date.now,
): GatewayTokens => {
  /** A view opens many connections with one token; checking a signature costs more than all else on the way. */
  const hops = new Map<string, { hop: Hop; expiresAt: number }>()

  const verify = async (token: string | undefined): Promise<JWTPayload> => {
    if (token === undefined) throw new AgentError('unauthorized')
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: gatewayIssuer,
        audience: hostId,
        algorithms: ['EdDSA', 'Ed25519'],
        maxTokenAge: maxLifetimeSeconds,
        requiredClaims: ['exp'],
        clockTolerance,
        currentDate: new Date(now()),
      })
      return payload
    } catch (cause) {
      throw new AgentError(isBadToken(cause) ? 'unauthorized' : 'keys-unavailable', {}, { cause })
    }
  }

  const remember = (token: string, hop: Hop, expiresAt: number): void => {
    for (const oldest of hops.keys()) {
      if (hops.size < rememberedHops) break
      hops.delete(oldest)
    }
    hops.set(token, { hop, expiresAt })
  }

  return {
    command: async token => {
      if (!commandClaims.safeParse(await verify(token)).success) throw new AgentError('unauthorized')
    },
    hop: async token => {
      const cached = token === undefined ? undefined : hops.get(token)
      if (cached && now() < cached.expiresAt) return cached.hop
      const claims = hopClaims.safeParse(await verify(token))
      if (token === undefined || !claims.success) throw new AgentError('unauthorized')
      const { sub, gen, access, exp, iat } = claims.data
      const hop: Hop = { runtimeId: sub, generation: gen, access }
      remember(token, hop, Math.min(exp, iat + maxLifetimeSeconds) * 1000)
      return hop
    },
  }
}

/** Jose's errors are about the token, but for those of fetching the keys. */
const isBadToken = (error: unknown): boolean =>
  error instanceof errors.JOSEError &&
  error.code !== 'ERR_JOSE_GENERIC' &&
  !(error instanceof errors.JWKSTimeout) &&
  !(error instanceof errors.JWKSInvalid)
