import {
  addFirstSigningKey,
  type Db,
  listSigningKeys,
  type NewSigningKey,
  type Rotation,
  rotateSigningKeys,
  type SigningKeyRow,
} from '@porthole/db'
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
  /** Published keys, the next one among them. */
  jwks(): { keys: JWK[] }
  /** Looks for keys that other gateways have made. */
  reload(): Promise<void>
  /** Makes the next key when one is due. @returns whether there is a new one */
  rotate(rotation?: Partial<Rotation>): Promise<boolean>
}

/** Longest that any token of ours lives, in seconds: a year. */
export const maxTokenSeconds = 366 * 86_400

/** A new key every 30 days, published for ten minutes before it signs. */
const defaultRotation: Rotation = { everySeconds: 30 * 86_400, leadSeconds: 600, tailSeconds: maxTokenSeconds }

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

const makeKey = async (seal: Seal): Promise<NewSigningKey> => {
  const { publicKey, privateKey } = await generateKeyPair('Ed25519', { extractable: true })
  const jwk = await exportJWK(publicKey)
  return {
    kid: await calculateJwkThumbprint(jwk),
    publicKey: jwk.x ?? '',
    sealedPrivateKey: await seal.close('signing-key', JSON.stringify(await exportJWK(privateKey))),
  }
}

type KeyPair = { row: SigningKeyRow; verifier: CryptoKey | Uint8Array; signer: CryptoKey | Uint8Array }

/**
 * The built-in issuer, with a key made on the first start.
 *
 * @param now milliseconds since the epoch
 * @throws SealError when PORTHOLE_SECRET is not the one the keys were sealed with.
 */
export const createIssuer = async (db: Db, seal: Seal, now: () => number): Promise<Issuer> => {
  const open = async (row: SigningKeyRow): Promise<KeyPair> => ({
    row,
    verifier: await importJWK(publicJwk(row), 'EdDSA'),
    signer: await importJWK(JSON.parse(await seal.open('signing-key', row.sealedPrivateKey)), 'EdDSA'),
  })

  /** By key id, oldest first. */
  let pairs = new Map<string, KeyPair>()
  const learn = async (rows: SigningKeyRow[]) => {
    const known = pairs
    const opened = await Promise.all(rows.map(async row => ({ ...(known.get(row.kid) ?? (await open(row))), row })))
    pairs = new Map(opened.map(pair => [pair.row.kid, pair]))
  }
  let rows = await listSigningKeys(db)
  if (rows.length === 0) rows = await addFirstSigningKey(db, await makeKey(seal))
  await learn(rows)
  const reload = async () => learn(await listSigningKeys(db))

  let reloadedAt = now()
  const verifierOf = async (kid: string | undefined) => {
    if (kid && !pairs.has(kid) && now() - reloadedAt > reloadCooldownMs) {
      reloadedAt = now()
      await reload()
    }
    const pair = kid ? pairs.get(kid) : undefined
    if (!pair) throw new Error('the token names no key of ours')
    return pair.verifier
  }

  /** The newest key whose time has come; on a fresh database with a clock ahead of ours, the only one there is. */
  const signing = (): KeyPair => {
    const all = [...pairs.values()]
    const pair = all.findLast(({ row }) => row.activeAt.getTime() <= now()) ?? all[0]
    if (!pair) throw new Error('the database has no signing key')
    return pair
  }
  signing()

  return {
    sign: async (claims, { audience, seconds }) => {
      const at = Math.floor(now() / 1000)
      const { row, signer } = signing()
      return new SignJWT(claims)
        .setProtectedHeader({ alg: 'EdDSA', kid: row.kid, typ: 'JWT' })
        .setIssuer(gatewayIssuer)
        .setAudience(audience)
        .setIssuedAt(at)
        .setExpirationTime(at + seconds)
        .sign(signer)
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
    jwks: () => ({ keys: [...pairs.values()].map(({ row }) => publicJwk(row)) }),
    reload,
    rotate: async rotation => {
      const isNew = await rotateSigningKeys(db, { ...defaultRotation, ...rotation }, () => makeKey(seal))
      await reload()
      return isNew
    },
  }
}
