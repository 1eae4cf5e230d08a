import { z } from 'zod'

/**
 * How a host joins: an operator mints a one-time join token; the agent sends it with the public half of a key made on
 * the host and the URL it can be reached at (`POST /v1/hosts/join`); the gateway calls that URL back with a nonce
 * (`POST <url>/v1/challenge`) and admits the host only if the key answers. With a certificate in the join, that call and
 * everything after it goes to the holder of that certificate alone.
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
    // Checks run on what earlier ones have refused, too.
    .refine(
      value => URL.canParse(value) && new URL(value).origin === value.replace(/\/$/, ''),
      'is not an origin like http://10.0.0.5:4748',
    ),
  publicKey,
  /** PEM of the one certificate that the agent serves `url` with. Absent: plain HTTP, or TLS is done elsewhere. */
  certificate: z
    .string()
    .max(8192)
    .regex(
      /^-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*$/,
      'is not one certificate in PEM',
    )
    .optional(),
})
export type JoinRequest = z.infer<typeof joinRequest>

export const joinAnswer = z.object({ hostId: z.string() })
export type JoinAnswer = z.infer<typeof joinAnswer>

export const challenge = z.strictObject({ nonce: z.string().min(16).max(128) })
export type Challenge = z.infer<typeof challenge>

/**
 * `proof`: a JWT signed with the host's key, audience `challengeAudience`, claims `nonce` and, when the agent serves with
 * a certificate of its own, `cert`: its SHA-256 fingerprint in base64url, so that nobody on the way can put in another.
 */
export const challengeAnswer = z.object({ proof: z.string().max(4096) })
export type ChallengeAnswer = z.infer<typeof challengeAnswer>

/** Whether a URL stays within one machine, by how it is written: no name is looked up. */
export const isLoopback = (url: string): boolean => {
  const { hostname } = new URL(url)
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}
