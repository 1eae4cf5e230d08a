import { createPublicKey } from 'node:crypto'
import { gatewayIssuer } from '@porthole/protocol'
import { base64url, type CryptoKey, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { callerAudience, scopes } from '../tokens/caller.ts'
import type { Issuer } from '../tokens/issuer.ts'

/** Tokens that say all the right things of a tenant, and are not ours. By the name of whoever shows them. */
export type Forgeries = Record<
  | 'alg none'
  | 'HS256 keyed with our public key'
  | 'HS256 keyed with our public key as PEM'
  | 'RS256 under the id of our key'
  | 'another key under the id of ours'
  | 'a key of their own in the header'
  | 'an id that no key has',
  string
>

export const forgeAll = async (issuer: Issuer, tenant: string): Promise<Forgeries> => {
  const [jwk] = issuer.jwks().keys
  const { kid = '', x = '' } = jwk ?? {}
  const pem = createPublicKey({ key: { ...jwk }, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
  const own = await generateKeyPair('Ed25519', { extractable: true })
  const rsa = await generateKeyPair('RS256')
  const ownJwk = await exportJWK(own.publicKey)

  const filled = <T extends SignJWT | UnsecuredJWT>(jwt: T) =>
    jwt.setIssuer(gatewayIssuer).setAudience(callerAudience).setIssuedAt().setExpirationTime('10m') as T
  const claims = { tenant, sub: 'forger', scope: scopes.join(' ') }
  const sign = (header: { alg: string; kid: string; jwk?: object }, key: CryptoKey | Uint8Array) =>
    filled(new SignJWT(claims)).setProtectedHeader(header).sign(key)

  return {
    'alg none': filled(new UnsecuredJWT(claims)).encode(),
    'HS256 keyed with our public key': await sign({ alg: 'HS256', kid }, base64url.decode(x)),
    'HS256 keyed with our public key as PEM': await sign({ alg: 'HS256', kid }, new TextEncoder().encode(String(pem))),
    'RS256 under the id of our key': await sign({ alg: 'RS256', kid }, rsa.privateKey),
    'another key under the id of ours': await sign({ alg: 'EdDSA', kid }, own.privateKey),
    'a key of their own in the header': await sign({ alg: 'EdDSA', kid: 'mine', jwk: ownJwk }, own.privateKey),
    'an id that no key has': await sign({ alg: 'EdDSA', kid: 'x'.repeat(kid.length) }, own.privateKey),
  }
}
