import { z } from 'zod'

/**
 * How a host joins: an operator mints a one-time join token; the agent sends it with the public half of a key made on
 * the host and the URL it can be reached at (`POST /v1/hosts/join`); the gateway calls that URL back with a nonce
 * (`POST <url>/v1/challenge`) and admits the host only if the key answers.
 */
export const publicKey = z.strictObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: z.string().max(64) })
export type PublicKey = z.infer<typeof publicKey>

export const joinRequest = z.strictObject({
  token: z.string().max(256),
  name: z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/),
  /** An origin: commands and edge traffic each have paths of their own below it. */
  url: z
    .url({ protocol: /^https?$/ })
    .max(2048)
    .refine(value => new URL(value).origin === value.replace(/\/$/, ''), 'is not an origin like http://10.0.0.5:4748'),
  publicKey,
})
export type JoinRequest = z.infer<typeof joinRequest>

export const joinAnswer = z.object({ hostId: z.string() })
export type JoinAnswer = z.infer<typeof joinAnswer>

export const challenge = z.strictObject({ nonce: z.string().min(16).max(128) })
export type Challenge = z.infer<typeof challenge>

/** `proof`: a JWT signed with the host's key, audience `challengeAudience`, claim `nonce`. */
export const challengeAnswer = z.object({ proof: z.string().max(4096) })
export type ChallengeAnswer = z.infer<typeof challengeAnswer>
