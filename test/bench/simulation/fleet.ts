import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'

/** PKCS #8 of an Ed25519 key, up to its 32 bytes of seed (RFC 8410 section 7). */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex')

/** The simulated hosts' names and keys follow from their numbers, so that every process of the simulation has them. */
export const hostIdOf = (n: number): string => `host_sim${String(n).padStart(6, '0')}`

/** The host's private key; for simulations only, anybody can have it. */
export const hostKeyOf = (n: number): KeyObject =>
  createPrivateKey({
    key: Buffer.concat([pkcs8, createHash('sha256').update(`simulated host ${n}`).digest()]),
    format: 'der',
    type: 'pkcs8',
  })

/** As hosts' rows hold it: raw, base64url. */
export const publicKeyOf = (n: number): string => String(createPublicKey(hostKeyOf(n)).export({ format: 'jwk' }).x)

/** What every simulated host offers: 20 runtimes of half a CPU and 1 GiB. */
export const hostOffer = { memoryBytes: 20 * 2 ** 30, cpuMillis: 10_000, slots: 20, gpus: 0 }

/** What every simulated runtime takes of it. */
export const runtimeNeed = { memoryBytes: 2 ** 30, cpuMillis: 500, gpus: 0 }

const hex = (n: number, digits: number) => n.toString(16).padStart(digits, '0')

/** The id and the hash of a seeded runtime, as `seedRuntimes` writes them in SQL: 26 digits, all of them hexadecimal. */
export const seededId = (n: number): string => `rt_${hex(n, 26).toUpperCase()}`
export const seededHash = (n: number): string => hex(n, 16)
