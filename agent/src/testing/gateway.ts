import { randomUUID } from 'node:crypto'
import { gatewayIssuer } from '@porthole/protocol'
import { type CryptoKey, createLocalJWKSet, exportJWK, generateKeyPair, type JWTVerifyGetKey, SignJWT } from 'jose'
import { hostId, runtime } from './orders.ts'

/** A gateway's signing hand, for tests of what checks its tokens. */
export type Signer = {
  keys: JWTVerifyGetKey
  jwks: { keys: object[] }
  command(changes?: Claims): Promise<string>
  hop(changes?: Claims): Promise<string>
}

export type Claims = {
  issuer?: string
  audience?: string
  use?: string
  runtime?: string
  generation?: number
  access?: string
  issuedAt?: number
  expiresAt?: number
  key?: CryptoKey
}

export const createSigner = async (): Promise<Signer> => {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' })
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'EdDSA', use: 'sig' }] }
  const sign = (extra: Record<string, unknown>, use: string, changes: Claims): Promise<string> => {
    const iat = changes.issuedAt ?? Math.floor(Date.now() / 1000)
    return new SignJWT({ ...extra, use: changes.use ?? use })
      .setProtectedHeader({ alg: 'EdDSA', kid: 'k1' })
      .setIssuer(changes.issuer ?? gatewayIssuer)
      .setAudience(changes.audience ?? hostId)
      .setIssuedAt(iat)
      .setJti(randomUUID())
      .setExpirationTime(changes.expiresAt ?? iat + 30)
      .sign(changes.key ?? privateKey)
  }
  return {
    keys: createLocalJWKSet(jwks),
    jwks,
    command: (changes = {}) => sign({}, 'command', changes),
    hop: (changes = {}) =>
      sign(
        { sub: changes.runtime ?? runtime, gen: changes.generation ?? 1, access: changes.access ?? 'control' },
        'hop',
        changes,
      ),
  }
}
