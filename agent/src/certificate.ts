import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { localFiles } from './engine/local-files.ts'
import { replaceFile } from './identity.ts'

/** What the agent serves TLS with. Both are PEM. */
export type Certificate = {
  key: string
  cert: string
  /** SHA-256 of the DER, base64url. */
  fingerprint: string
  endsAt: Date
}

/** What the data directory holds: a certificate that can be used, or why there is none. */
export type Found = { certificate: Certificate; why?: never } | { certificate?: never; why: string }

/** Key and certificate in one file, so that they never come apart. */
const fileName = 'tls.pem'

const dayMs = 24 * 3600 * 1000
/** Ten years: it is pinned, so a new one means joining anew. */
const lifetimeMs = 3650 * dayMs
const nearMs = 30 * dayMs

/** Whether it should be replaced at the next join. */
export const endsSoon = ({ endsAt }: Certificate, now: number): boolean => endsAt.getTime() - now < nearMs

/**
 * The certificate kept in the data directory, if it can be used for this host.
 * @param host name or address in the URL that the gateway uses
 * @param now milliseconds since the epoch
 */
export const readCertificate = async (dataDir: string, host: string, now: number): Promise<Found> => {
  const text = await localFiles.read(join(dataDir, fileName))
  if (text === undefined) return { why: 'there was none' }
  const certificate = parse(text)
  if (certificate === undefined) return { why: `${join(dataDir, fileName)} is not what an agent writes` }
  const x509 = new X509Certificate(certificate.cert)
  if ((isIP(host) === 0 ? x509.checkHost(host) : x509.checkIP(host)) === undefined)
    return { why: 'the one there was is for another address than the one advertised now' }
  if (certificate.endsAt.getTime() <= now || Date.parse(x509.validFrom) > now)
    return { why: 'the one there was is not valid at this time' }
  return { certificate }
}

/** A new one, signed by itself. */
export const makeCertificate = async (names: { hostName: string; host: string }, now: number): Promise<Certificate> => {
  // Loaded here: it takes longer than the rest of the agent, and is needed once in ten years.
  const { generate } = await import('selfsigned')
  const { host } = names
  const { private: key, cert } = await generate([{ name: 'commonName', value: names.hostName }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    // A day back, for gateways whose clock is behind.
    notBeforeDate: new Date(now - dayMs),
    notAfterDate: new Date(now + lifetimeMs),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: [isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host }] },
    ],
  })
  const made = parse(`${key}\n${cert}`)
  if (made === undefined) throw new Error('a new TLS certificate can not be read')
  return made
}

/** Keeps it in the data directory, readable by its owner only. */
export const saveCertificate = ({ key, cert }: Certificate, dataDir: string): Promise<void> =>
  replaceFile(dataDir, fileName, `${key.trim()}\n${cert.trim()}\n`)

const blocks =
  /^(-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----)\s+(-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----)\s*$/s

const parse = (text: string): Certificate | undefined => {
  const [, key, cert] = blocks.exec(text) ?? []
  if (key === undefined || cert === undefined) return undefined
  try {
    const x509 = new X509Certificate(cert)
    if (!x509.checkPrivateKey(createPrivateKey(key))) return undefined
    const fingerprint = createHash('sha256').update(x509.raw).digest('base64url')
    return { key, cert, fingerprint, endsAt: new Date(x509.validTo) }
  } catch {
    return undefined
  }
}
