import { hkdfSync } from 'node:crypto'
import { CompactEncrypt, compactDecrypt } from 'jose'

/** Encrypts small secrets for the database. */
export type Seal = {
  /** @param purpose what it is for: a thing sealed for one purpose does not open for another. */
  close(purpose: string, plain: string): Promise<string>
  /** @throws SealError when the secret is another one or the text was changed. */
  open(purpose: string, sealed: string): Promise<string>
}

export class SealError extends Error {
  override name = 'SealError'
}

/** Seals with AES-256-GCM (JWE, direct key), the key derived from PORTHOLE_SECRET by HKDF-SHA-256. */
export const createSeal = (secret: string): Seal => {
  const keyFor = (purpose: string) => new Uint8Array(hkdfSync('sha256', secret, 'porthole', purpose, 32))
  return {
    close: (purpose, plain) =>
      new CompactEncrypt(new TextEncoder().encode(plain))
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
        .encrypt(keyFor(purpose)),
    open: async (purpose, sealed) => {
      try {
        const { plaintext } = await compactDecrypt(sealed, keyFor(purpose), {
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
        })
        return new TextDecoder().decode(plaintext)
      } catch (cause) {
        throw new SealError(`what the database keeps for "${purpose}" was sealed with another PORTHOLE_SECRET`, {
          cause,
        })
      }
    },
  }
}
