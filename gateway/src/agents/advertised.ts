import { X509Certificate } from 'node:crypto'
import { isLoopback, type JoinRequest } from '@porthole/protocol'
import { Problem } from '../problem.ts'
import type { AgentPeer } from './connections.ts'

const refuse = (detail: string, cause?: unknown) => new Problem('join-refused', { detail, cause })

/**
 * Where a joining host says it is, if that may be used.
 *
 * @param allowPlain whether plain HTTP may leave the machine
 * @throws Problem `join-refused`
 */
export const advertisedBy = (
  { url, certificate }: Pick<JoinRequest, 'url' | 'certificate'>,
  allowPlain: boolean,
): AgentPeer => {
  const isPlain = new URL(url).protocol === 'http:'
  if (isPlain && certificate !== undefined)
    throw refuse('the host sent a certificate for a URL without TLS: its PORTHOLE_AGENT_URL must begin with https://')
  if (isPlain && !isLoopback(url) && !allowPlain)
    throw refuse(
      'the host would be reached over plain HTTP, and not on the loopback: anyone on the way could read and change what is sent. Set PORTHOLE_TLS=auto there, or PORTHOLE_ALLOW_PLAIN_AGENTS=true here when you trust every network between us',
    )
  return {
    url: url.replace(/\/+$/, ''),
    certificate: certificate === undefined ? null : normalized(certificate),
  }
}

const normalized = (certificate: string): string => {
  try {
    return new X509Certificate(certificate).toString()
  } catch (cause) {
    throw refuse("the host's certificate can't be read: remove tls.pem from its data directory and join it anew", cause)
  }
}
