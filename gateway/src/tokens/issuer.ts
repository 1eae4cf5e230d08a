import { addFirstSigningKey, type Db, listSigningKeys, type SigningKeyRow } from '@porthole/db'
import { gatewayIssuer } from '@porthole/protocol'
import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from 'jose'
import type { Seal } from './seal.ts'

/** Signs and checks our own tokens. The keys are in Postgres, so that every gateway is the same issuer. */
export type Issuer = {
  /** @param seconds lifetime */
  sign(claims: JWTPayload, options: { audience: string; seconds: number }): Promise<string>
  /** @throws whatever jose throws for a token that is not ours, not for this audience, expired, or malformed. */
  verify(token: string, audience: string): Promise<JWTPayload>
  jwks(): { keys: JWK[] }
}

/** Unknown key ids cause at most one look into the database in this time. */
const reloadCooldownMs = 5000

const publicJwk = (row: Pick<SigningKeyRow, 'kid' | 'publicKey'>): JWK => ({
  kty: 'OKP',
  crv: 'Ed25519',
  x: row.publicKey,
  kid: row.kid,
  alg: 'EdDSA',
  use: 'sig',
})

const makeKey = async (seal: Seal) => {
  const { publicKey, privateKey } = await generateKeyPair('Ed25519', { extractable: true })
  const jwk = await exportJWK(publicKey)
  return {
    kid: await calculateJwkThumbprint(jwk),
    publicKey: jwk.x ?? '',
    sealedPrivateKey: await seal.close('signing-key', JSON.stringify(await exportJWK(privateKey))),
  }
}

/**
 * The built-in issuer, with a key made on the first start.
 *
 * @param now milliseconds since the epoch
 * @throws SealError when PORTHOLE_SECRET is not the one the keys were sealed with.
 */
export const createIssuer = async (db: Db, seal: Seal, now: () => number): Promise<Issuer> => {
  let rows = await listSigningKeys(db)
  if (rows.length === 0) rows = await addFirstSigningKey(db, await makeKey(seal))
  const newest = rows.at(-1)
  if (!newest) throw new Error('the database has no signing key')
  const privateKey = await importJWK(JSON.parse(await seal.open('signing-key', newest.sealedPrivateKey)), 'EdDSA')

  const verifiers = new Map<string, CryptoKey | Uint8Array>()
  const learn = async (known: SigningKeyRow[]) => {
    rows = known
    for (const row of known)
      if (!verifiers.has(row.kid)) verifiers.set(row.kid, await importJWK(publicJwk(row), 'EdDSA'))
  }
  await learn(rows)

  let reloadedAt = now()
  const verifierOf = async (kid: string | undefined) => {
    if (kid && !verifiers.has(kid) && now() - reloadedAt > reloadCooldownMs) {
      reloadedAt = now()
      await learn(await listSigningKeys(db))
    }
    const key = kid ? verifiers.get(kid) : undefined
    if (!key) throw new Error('the token names no key of ours')
    return key
  }

  return {
    sign: (claims, { audience, seconds }) => {
      const at = Math.floor(now() / 1000)
      return new SignJWT(claims)
        .setProtectedHeader({ alg: 'EdDSA', kid: newest.kid, typ: 'JWT' })
        .setIssuer(gatewayIssuer)
        .setAudience(audience)
        .setIssuedAt(at)
        .setExpirationTime(at + seconds)
        .sign(privateKey)
    },
    verify: async (token, audience) =>
      (
        await jwtVerify(token, header => verifierOf(header.kid), {
          issuer: gatewayIssuer,
          audience,
          algorithms: ['EdDSA'],
          requiredClaims: ['exp', 'iat'],
          currentDate: new Date(now()),
        })
      ).payload,
    jwks: () => ({ keys: rows.map(publicJwk) }),
  }
}
