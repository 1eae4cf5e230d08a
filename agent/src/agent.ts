import type http from 'node:http'
import { createRelay, type Relay } from '@porthole/protocol/relay'
import { createRemoteJWKSet } from 'jose'
import type { Logger } from 'pino'
import { createAddresses } from './addresses.ts'
import { createApp } from './app.ts'
import { type Config, ConfigError } from './config.ts'
import { createEdge, type Edge } from './edge.ts'
import { dockerEngine } from './engine/docker.ts'
import type { Engine } from './engine/engine.ts'
import { localFiles } from './engine/local-files.ts'
import { locateEngine } from './engine/locate.ts'
import { fenceBridges } from './firewall/fence-bridges.ts'
import { createGatewayTokens, type GatewayTokens } from './gateway-tokens.ts'
import { httpProbe } from './health.ts'
import { createHeartbeats } from './heartbeat.ts'
import { type Identity, loadIdentity, type Membership, saveMembership } from './identity.ts'
import { createInventory } from './inventory.ts'
import { type Challenges, createChallenges, JoinRefused, joinGateway } from './joining.ts'
import { networkLabels } from './labels.ts'
import { createRuntimes, type Runtimes } from './runtimes.ts'
import { createAgentServer, listen } from './server.ts'

export type Agent = {
  hostId: string
  /** Where the gateway reaches it. */
  url: string
  /** Stops taking commands and traffic; runtimes stay as they are. Ends within `closeMs`. */
  close(): Promise<void>
}

/** Milliseconds that exchanges under way get to end by themselves. */
const closeMs = 3000
/** Milliseconds between two reads of the gateway's keys when a token names one that is not known. */
const keysCooldownMs = 5000

/** What a host is once it has joined. */
type Host = { tokens: GatewayTokens; runtimes: Runtimes; edge: Edge }

/**
 * Runs an agent: finds the engine, listens, joins the gateway, and tells it of this host from then on.
 * @throws ConfigError, EngineNotFound, JoinRefused, or why it can't listen
 */
export const startAgent = async (config: Config, log: Logger): Promise<Agent> => {
  const located = await locateEngine(config.engine, localFiles)
  log.info({ engine: located.from }, 'engine located')
  const identity = await loadIdentity(config.dataDir)
  const stopping = new AbortController()
  const engine = await fenceBridges({ engine: dockerEngine(located.address), config, log, signal: stopping.signal })
  const challenges = createChallenges(identity.privateKey)
  const relay = createRelay()
  let host: Host | undefined

  const app = createApp({ desk: () => host, prove: challenges.prove, log })
  const server = createAgentServer({ app, edge: () => host?.edge, relay })
  try {
    const port = await listen(server, config.listenHost, config.port)
    const url = config.agentUrl ?? urlOf(config.listenHost, port)
    const hostId = await join({ config, identity, challenges, url, log, signal: stopping.signal })
    host = open({ config, engine, relay, hostId, identity, log, signal: stopping.signal })
    await adopt({ engine, runtimes: host.runtimes, network: config.containers.network, hostId, log })
    return {
      hostId,
      url,
      close: async () => {
        stopping.abort()
        await closeServer(server, relay)
      },
    }
  } catch (error) {
    stopping.abort()
    await closeServer(server, relay)
    throw error
  }
}

/** Builds what needs the host's id, and sets it going. */
const open = (deps: {
  config: Config
  engine: Engine
  relay: Relay
  hostId: string
  identity: Identity
  log: Logger
  signal: AbortSignal
}): Host => {
  const { config, engine, relay, hostId, log, signal } = deps
  const { reach, containers: defaults, startsAtOnce, gatewayUrl } = config
  const keys = createRemoteJWKSet(new URL(`${gatewayUrl}/.well-known/jwks.json`), { cooldownDuration: keysCooldownMs })
  const tokens = createGatewayTokens(keys, hostId)
  const addresses = createAddresses({ engine, hostId, reach, log })
  const runtimes = createRuntimes({ engine, probe: httpProbe(), hostId, defaults, reach, startsAtOnce, log })
  const inventory = createInventory({ engine, list: runtimes.list, config, log })
  const { privateKey } = deps.identity
  const heartbeats = createHeartbeats({ gatewayUrl, hostId, privateKey, inventory, log })
  void addresses.follow(signal, heartbeats.nudge)
  void heartbeats.run(signal)
  return { tokens, runtimes, edge: createEdge({ tokens, addresses, relay, log }) }
}

/** The host's id: of this join, or of an earlier one when no token is given or it has been used for that one. */
const join = async (deps: {
  config: Config
  identity: Identity
  challenges: Challenges
  url: string
  log: Logger
  signal: AbortSignal
}): Promise<string> => {
  const { config, identity, challenges, url, log, signal } = deps
  const { gatewayUrl, joinToken, hostName: name, dataDir } = config
  const earlier = isStillTrue(identity.membership, gatewayUrl, url) ? identity.membership : undefined
  if (joinToken === undefined) {
    if (earlier) return earlier.hostId
    throw new ConfigError(
      'PORTHOLE_JOIN_TOKEN',
      'is not set, and this host has not joined this gateway at this URL',
      'Ask an operator for a join token.',
    )
  }
  try {
    const request = { token: joinToken, name, url, publicKey: identity.publicKey }
    const patience = earlier ? AbortSignal.any([signal, AbortSignal.timeout(rejoinMs)]) : signal
    const hostId = await challenges.during(() => joinGateway(gatewayUrl, request, { log, signal: patience }))
    await saveMembership(dataDir, { hostId, gatewayUrl, agentUrl: url })
    log.info({ host: hostId, gateway: gatewayUrl, url }, 'joined')
    return hostId
  } catch (error) {
    if (!earlier || signal.aborted) throw error
    const reason = error instanceof JoinRefused ? error.message : 'the gateway does not answer'
    log.warn({ host: earlier.hostId, reason }, 'not joined anew, going on as the host of an earlier join')
    return earlier.hostId
  }
}

/** Milliseconds for joining anew, by a host that can go on without: a gateway that restarts needs its host back. */
const rejoinMs = 3000

const isStillTrue = (membership: Membership | undefined, gatewayUrl: string, url: string): boolean =>
  membership?.gatewayUrl === gatewayUrl && membership.agentUrl === url

/**
 * Docker's labels are the agent's memory: what runs goes on as it is. The network is made now rather than by the first
 * start, which may be at the same moment on every agent that shares the engine.
 */
const adopt = async (deps: {
  engine: Engine
  runtimes: Runtimes
  network: string
  hostId: string
  log: Logger
}): Promise<void> => {
  const { engine, runtimes, network, hostId, log } = deps
  try {
    const adopted = await runtimes.list()
    await engine.ensureNetwork(network, networkLabels)
    log.info({ host: hostId, runtimes: adopted.length }, 'runtimes adopted')
  } catch (err) {
    log.error({ host: hostId, err }, 'engine is not fit for starts yet')
  }
}

const urlOf = (listenHost: string, port: number): string => {
  if (listenHost === '0.0.0.0' || listenHost === '::') {
    throw new ConfigError(
      'PORTHOLE_AGENT_URL',
      'is not set, and the agent listens on every address',
      'Write the URL that the gateway reaches this host at.',
    )
  }
  return `http://${listenHost.includes(':') ? `[${listenHost}]` : listenHost}:${port}`
}

const closeServer = async (server: http.Server, relay: Relay): Promise<void> => {
  const closed = new Promise<void>(resolve => {
    server.close(() => resolve())
  })
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), closeMs)
  await relay.close()
  await closed
  clearTimeout(timer)
}
