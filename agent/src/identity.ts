import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type PublicKey, publicKey } from '@porthole/protocol'
import { type CryptoKey, exportJWK, generateKeyPair, importJWK } from 'jose'
import { z } from 'zod'
import { localFiles } from './engine/local-files.ts'

/** Where a host has joined. */
export type Membership = {
  hostId: string
  gatewayUrl: string
  agentUrl: string
  /** Fingerprint of the TLS certificate that the gateway knows it by; absent: none. */
  certificate?: string | undefined
}

/** Who this host is: made once, kept in `host.json` in the data directory, readable by its owner only. */
export type Identity = {
  publicKey: PublicKey
  privateKey: CryptoKey
  membership?: Membership
}

const algorithm = 'EdDSA'
const privateJwk = publicKey.extend({ d: z.string() })
const hostFile = z.object({
  key: privateJwk,
  membership: z
    .object({ hostId: z.string(), gatewayUrl: z.string(), agentUrl: z.string(), certificate: z.string().optional() })
    .optional(),
})
type HostFile = z.infer<typeof hostFile>

/**
 * Reads the host's identity, and makes one on the first start.
 * @throws Error when the file is there but unreadable: a new identity would orphan the host's runtimes
 */
export const loadIdentity = async (dataDir: string): Promise<Identity> => {
  const path = join(dataDir, 'host.json')
  const text = await localFiles.read(path)
  if (text === undefined) {
    const key = await newKey()
    await save(dataDir, { key })
    return toIdentity({ key })
  }
  const parsed = hostFile.safeParse(jsonOrUndefined(text))
  if (!parsed.success) {
    throw new Error(`${path} is not what an agent writes. Restore it, or remove it and join this host anew.`)
  }
  return toIdentity(parsed.data)
}

/** Records where the host has joined. */
export const saveMembership = async (dataDir: string, membership: Membership): Promise<void> => {
  const text = await localFiles.read(join(dataDir, 'host.json'))
  const { key } = hostFile.parse(jsonOrUndefined(text ?? ''))
  await save(dataDir, { key, membership })
}

const newKey = async (): Promise<z.infer<typeof privateJwk>> => {
  const { privateKey } = await generateKeyPair(algorithm, { crv: 'Ed25519', extractable: true })
  const { kty, crv, x, d } = await exportJWK(privateKey)
  return privateJwk.parse({ kty, crv, x, d })
}

const toIdentity = async ({ key, membership }: HostFile): Promise<Identity> => {
  const { d: _, ...open } = key
  const privateKey = await importJWK(key, algorithm)
  if (privateKey instanceof Uint8Array) throw new Error('the host key is no key pair')
  return { publicKey: open, privateKey, ...(membership ? { membership } : {}) }
}

const save = (dataDir: string, file: HostFile): Promise<void> =>
  replaceFile(dataDir, 'host.json', `${JSON.stringify(file, null, 2)}\n`)

/** Readable by its owner only. By rename, so that a crash leaves the old file or the new one. */
export const replaceFile = async (dataDir: string, name: string, text: string): Promise<void> => {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const path = join(dataDir, name)
  await writeFile(`${path}.new`, text, { mode: 0o600, flush: true })
  await rename(`${path}.new`, path)
}

const jsonOrUndefined = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
