import type { Logger } from 'pino'
import { type Certificate, endsSoon, makeCertificate, readCertificate, saveCertificate } from './certificate.ts'
import { type Config, ConfigError } from './config.ts'
import { type Identity, type Membership, saveMembership } from './identity.ts'
import { type Challenges, JoinRefused, joinGateway } from './joining.ts'

/** What TLS is served with; `next` takes the place of `current` with the next join, because the gateway pins it then. */
export type Certificates = { current: Certificate; next?: Certificate }

/** Milliseconds for joining anew, by a host that can go on without: a gateway that restarts needs its host back. */
const rejoinMs = 3000

/**
 * The certificate of this host, made where there is none that fits.
 * @param host name or address in the URL that the gateway uses
 */
export const chooseCertificates = async (
  { dataDir, hostName, joinToken }: Pick<Config, 'dataDir' | 'hostName' | 'joinToken'>,
  host: string,
  log: Logger,
  now: number = Date.now(),
): Promise<Certificates> => {
  const names = { hostName, host }
  const { certificate: current, why } = await readCertificate(dataDir, host, now)
  if (current === undefined) {
    const made = await makeCertificate(names, now)
    await saveCertificate(made, dataDir)
    log.info({ why, fingerprint: made.fingerprint }, 'TLS certificate made: this host has to join with it')
    return { current: made }
  }
  if (!endsSoon(current, now)) return { current }
  // Made anew without a token it would only cut this host off from its gateway, before its time.
  if (joinToken !== undefined) return { current, next: await makeCertificate(names, now) }
  log.warn(
    { endsAt: current.endsAt },
    'TLS certificate ends soon: start the agent with a new PORTHOLE_JOIN_TOKEN, it then makes another and joins with it',
  )
  return { current }
}

/**
 * The host's id: of this join, or of an earlier one when no token is given or it has been used for that one.
 * @returns the certificate that the gateway knows it by, too
 * @throws ConfigError, JoinRefused
 */
export const join = async (deps: {
  config: Pick<Config, 'gatewayUrl' | 'joinToken' | 'hostName' | 'dataDir'>
  identity: Identity
  certificates: Certificates | undefined
  challenges: Challenges
  url: string
  fetch: typeof fetch
  log: Logger
  signal: AbortSignal
}): Promise<{ hostId: string; certificate: Certificate | undefined }> => {
  const { config, identity, certificates, challenges, url, log, signal } = deps
  const { gatewayUrl, joinToken, hostName: name, dataDir } = config
  const current = certificates?.current
  const certificate = certificates?.next ?? current
  const now = { gatewayUrl, agentUrl: url, certificate: current?.fingerprint }
  const earlier = isStillTrue(identity.membership, now) ? identity.membership : undefined
  if (joinToken === undefined) {
    if (earlier) return { hostId: earlier.hostId, certificate: current }
    throw new ConfigError(
      'PORTHOLE_JOIN_TOKEN',
      whyNotJoined(identity.membership, now),
      'Ask an operator for a join token.',
    )
  }
  try {
    const request = {
      token: joinToken,
      name,
      url,
      publicKey: identity.publicKey,
      ...(certificate && { certificate: certificate.cert }),
    }
    const patience = earlier ? AbortSignal.any([signal, AbortSignal.timeout(rejoinMs)]) : signal
    const hostId = await challenges.during(() =>
      joinGateway(gatewayUrl, request, { log, signal: patience, fetch: deps.fetch }),
    )
    if (certificates?.next) await saveCertificate(certificates.next, dataDir)
    await saveMembership(dataDir, { ...now, hostId, certificate: certificate?.fingerprint })
    log.info({ host: hostId, gateway: gatewayUrl, url, certificate: certificate?.fingerprint }, 'joined')
    return { hostId, certificate }
  } catch (error) {
    if (!earlier || signal.aborted) throw error
    const reason = error instanceof JoinRefused ? error.message : 'the gateway does not answer'
    log.warn({ host: earlier.hostId, reason }, 'not joined anew, going on as the host of an earlier join')
    return { hostId: earlier.hostId, certificate: current }
  }
}

type Where = Omit<Membership, 'hostId'>

const isStillTrue = (earlier: Membership | undefined, now: Where): earlier is Membership =>
  earlier !== undefined && isSamePlace(earlier, now) && earlier.certificate === now.certificate

const isSamePlace = (earlier: Where, now: Where): boolean =>
  earlier.gatewayUrl === now.gatewayUrl && earlier.agentUrl === now.agentUrl

const whyNotJoined = (earlier: Membership | undefined, now: Where): string =>
  earlier && isSamePlace(earlier, now)
    ? 'is not set, and the gateway knows this host by another TLS certificate: it has to join anew'
    : 'is not set, and this host has not joined this gateway at this URL'
