import { createHash, randomBytes, X509Certificate } from 'node:crypto'
import { challengeAnswer, challengeAudience, type PublicKey } from '@porthole/protocol'
import { RelayFault } from '@porthole/protocol/relay'
import { importJWK, jwtVerify } from 'jose'
import { request } from 'undici'
import { Problem } from '../problem.ts'
import type { AgentConnections, AgentPeer } from './connections.ts'

const deadlineMs = 5000
const maxAnswerBytes = 16 * 1024
/** A century. */
const anyClockSeconds = 100 * 366 * 86_400

const refuse = (detail: string, cause?: unknown) => new Problem('join-refused', { detail, cause })

/**
 * Calls a joining host at the URL it advertises: only an agent that is really there, with the key and the certificate
 * it claims, can answer. So a wrong address is found when the host joins, not when the first view stays blank.
 *
 * @throws Problem `join-refused`
 */
export const callBack = async (
  connections: Pick<AgentConnections, 'others'>,
  peer: AgentPeer,
  publicKey: PublicKey,
): Promise<void> => {
  const nonce = randomBytes(24).toString('base64url')
  let text: string
  try {
    const answer = await request(`${peer.url}/v1/challenge`, {
      dispatcher: connections.others(peer),
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ nonce }),
      signal: AbortSignal.timeout(deadlineMs),
    })
    text = ''
    for await (const chunk of answer.body) {
      text += chunk
      if (text.length > maxAnswerBytes) throw new Error('the answer is too long')
    }
    if (answer.statusCode !== 200) throw new Error(`the answer was ${answer.statusCode}`)
  } catch (cause) {
    throw refuse(whyNobody(cause), cause)
  }
  try {
    const { proof } = challengeAnswer.parse(JSON.parse(text))
    const { payload } = await jwtVerify(proof, await importJWK(publicKey, 'EdDSA'), {
      audience: challengeAudience,
      algorithms: ['EdDSA'],
      // It is fresh by its nonce, which was made for this call: the host's clock, which nobody has set right yet, does not count.
      clockTolerance: anyClockSeconds,
    })
    if (payload.nonce !== nonce) throw new Error('the nonce is another one')
    // The host says with its key what it serves with: somebody between us may have put in, or taken out, a certificate.
    if (payload.cert !== fingerprintOf(peer.certificate)) throw new Error('the certificate is another one')
  } catch (cause) {
    throw refuse('whoever answers at the URL the host advertises does not have its key and certificate', cause)
  }
}

const fingerprintOf = (certificate: string | null): string | undefined =>
  certificate === null
    ? undefined
    : createHash('sha256').update(new X509Certificate(certificate).raw).digest('base64url')

/** Node's codes for a certificate that the CAs of this machine don't vouch for. */
const unverified = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])

const whyNobody = (cause: unknown): string => {
  if (cause instanceof RelayFault && cause.code === 'upstream-unverified')
    return 'whoever answers at the URL the host advertises has another certificate than the host sent: PORTHOLE_AGENT_URL must lead to the agent itself; with TLS ended before it, set PORTHOLE_TLS=off there'
  if (cause instanceof Error && 'code' in cause && unverified.has(String(cause.code)))
    return `no CA that this gateway trusts vouches for the certificate at the URL the host advertises (${cause.code}): leave PORTHOLE_TLS=auto there, or give this gateway the CA with NODE_EXTRA_CA_CERTS`
  return 'nobody answers at the URL the host advertises: set PORTHOLE_AGENT_URL to one we can reach'
}
