import { isIPv6 } from 'node:net'
import { isLoopback } from '@porthole/protocol'
import { type Config, ConfigError } from './config.ts'

/** How the gateway reaches this agent: known before it listens, because its certificate names the host. */
export type Advertised = {
  /** Name or address, an IPv6 address without brackets. */
  host: string
  /** Whether the agent serves TLS itself. */
  tls: boolean
  /** An origin. @param port the one it listens on */
  url(port: number): string
}

/** @throws ConfigError when it listens on every address and isn't told which the gateway should use */
export const advertise = ({ agentUrl, listenHost, tls: wanted }: Pick<Config, 'agentUrl' | 'listenHost' | 'tls'>) => {
  if (agentUrl === undefined && (listenHost === '0.0.0.0' || listenHost === '::')) {
    throw new ConfigError(
      'PORTHOLE_AGENT_URL',
      'is not set, and the agent listens on every address',
      'Write the URL that the gateway reaches this host at.',
    )
  }
  const origin = (port: number) => agentUrl ?? `http://${isIPv6(listenHost) ? `[${listenHost}]` : listenHost}:${port}`
  const { hostname } = new URL(origin(1))
  const tls = wanted === 'auto' ? !isLoopback(origin(1)) : wanted === 'on'
  const advertised: Advertised = {
    host: hostname.replace(/^\[|\]$/g, ''),
    tls,
    url: port => (tls ? secured(origin(port)) : origin(port)),
  }
  return advertised
}

/** The same port, also where it was http's own. */
const secured = (origin: string): string => {
  const { protocol, hostname, port } = new URL(origin)
  return protocol === 'https:' ? origin : new URL(`https://${hostname}:${port || 80}`).origin
}
