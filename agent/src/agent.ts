import { createRelay, type Relay } from '@porthole/protocol/relay'
import { createRemoteJWKSet, customFetch } from 'jose'
import type { Logger } from 'pino'
import { createAddresses } from './addresses.ts'
import { createAdmission, freeBytes } from './admission.ts'
import { advertise } from './advertise.ts'
import { createApp } from './app.ts'
import { restoreWeights } from './claim.ts'
import type { Config } from './config.ts'
import { createEdge, type Edge } from './edge.ts'
import { dockerEngine } from './engine/docker.ts'
import type { Engine } from './engine/engine.ts'
import { localFiles } from './engine/local-files.ts'
import { locateEngine } from './engine/locate.ts'
import { fenceBridges } from './firewall/fence-bridges.ts'
import { createGatewayClock, type GatewayClock } from './gateway-clock.ts'
import { createGatewayFetch } from './gateway-fetch.ts'
import { createGatewayTokens, type GatewayTokens } from './gateway-tokens.ts'
import { httpProbe } from './health.ts'
import { createHeartbeats } from './heartbeat.ts'
import { type Identity, loadIdentity } from './identity.ts'
import { createInventory } from './inventory.ts'
import { createChallenges } from './joining.ts'
import { networkLabels, ofHost } from './labels.ts'
import { chooseCertificates, join } from './membership.ts'
import { createRemovals } from './removals.ts'
import { createRuntimes, type Runtimes } from './runtimes.ts'
import { closeServer, createAgentServer, listen, serveWith } from './server.ts'
import { swapPausedHere } from './swap-out-engine.ts'
import { createUses } from './uses.ts'
import { createVolumes, type Volumes } from './volumes.ts'

export type Agent = {
  hostId: string
  /** Where the gateway reaches it. */
  url: string
  /** Stops taking commands and traffic; runtimes stay as they are. Ends within seconds. */
  close(): Promise<void>
}

/** Milliseconds between two reads of the gateway's keys when a token names one that is not known. */
const keysCooldownMs = 5000

/** What a host is once it has joined. */
type Host = { tokens: GatewayTokens; runtimes: Runtimes; volumes: Volumes; edge: Edge }

/**
 * Runs an agent: finds the engine, listens, joins the gateway, and tells it of this host from then on.
 * @throws ConfigError, EngineNotFound, JoinRefused, or why it can't listen
 */
export const startAgent = async (config: Config, log: Logger): Promise<Agent> => {
  const advertised = advertise(config)
  const located = await locateEngine(config.engine, localFiles)
  log.info({ engine: located.from }, 'engine located')
  const identity = await loadIdentity(config.dataDir)
  const stopping = new AbortController()
  const clock = createGatewayClock(log)
  const fetch = clock.listening(await createGatewayFetch(config, log, stopping.signal))
  const certificates = advertised.tls ? await chooseCertificates(config, advertised.host, log) : undefined
  const served = certificates?.next ?? certificates?.current
  const fenced = await fenceBridges({ engine: dockerEngine(located.address), config, log, signal: stopping.signal })
  const swapping = config.swapOut ? await swapPausedHere({ engine: fenced, log, signal: stopping.signal }) : undefined
  const engine = swapping?.engine ?? fenced
  const challenges = createChallenges(identity.privateKey, served?.fingerprint)
  const relay = createRelay()
  let host: Host | undefined

  const app = createApp({ desk: () => host, prove: challenges.prove, log })
  const server = createAgentServer({ app, edge: () => host?.edge, relay, certificate: served })
  try {
    const port = await listen(server, config.listenHost, config.port)
    const url = advertised.url(port)
    const { signal } = stopping
    const { hostId, certificate } = await join({ config, identity, certificates, challenges, url, fetch, log, signal })
    if (certificate && certificate !== served) serveWith(server, certificate)
    const opened = open({ config, engine, relay, hostId, identity, fetch, clock, log, signal })
    await clear(opened.volumes, hostId, log)
    host = opened
    await adopt({
      engine,
      runtimes: host.runtimes,
      network: config.containers.network,
      hostId,
      log,
    })
    void swapping?.beginAll(ofHost(hostId))
    return {
      hostId,
      url,
      close: async () => {
        stopping.abort()
        await Promise.all([closeServer(server, relay), swapping?.settled()])
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
  fetch: typeof fetch
  clock: GatewayClock
  log: Logger
  signal: AbortSignal
}): Host => {
  const { config, engine, relay, hostId, fetch, clock, log, signal } = deps
  const { reach, containers: defaults, startsAtOnce, gatewayUrl } = config
  const keys = createRemoteJWKSet(new URL(`${gatewayUrl}/.well-known/jwks.json`), {
    cooldownDuration: keysCooldownMs,
    [customFetch]: fetch,
  })
  const tokens = createGatewayTokens(keys, hostId, clock.now)
  const addresses = createAddresses({ engine, hostId, reach, log })
  const disk = { free: freeBytes, leastBytes: config.minFreeDiskBytes }
  const volumes = createVolumes({ engine, hostId, defaults, disk })
  const uses = createUses()
  const runtimes = createRuntimes({
    engine,
    probe: httpProbe(),
    uses,
    admission: createAdmission({ engine, hostId, config }),
    volumes,
    hostId,
    defaults,
    reach,
    startsAtOnce,
    log,
  })
  const inventory = createInventory({ engine, list: runtimes.list, config, log })
  const { privateKey } = deps.identity
  const removals = createRemovals({ runtimes, log })
  const heartbeats = createHeartbeats({
    gatewayUrl,
    hostId,
    privateKey,
    inventory,
    onAnswer: removals.take,
    log,
    fetch,
    now: clock.now,
  })
  void addresses.follow(signal, heartbeats.nudge)
  void heartbeats.run(signal)
  const start: Runtimes['start'] = async (id, command) => {
    const facts = await runtimes.start(id, command)
    // Whoever asked for it comes next: what they need to be let through is looked up meanwhile.
    // One that was claimed is known by the generation before.
    addresses.suspect(id)
    addresses.find(id).catch(() => undefined)
    return facts
  }
  const edge = createEdge({ tokens, addresses, relay, uses, log })
  return { tokens, runtimes: { ...runtimes, start }, volumes, edge }
}

/** What an agent before this one left half done. Before the first command: a volume that is about to be used looks left over. */
const clear = async (volumes: Pick<Volumes, 'clear'>, hostId: string, log: Logger): Promise<void> => {
  try {
    const copies = await volumes.clear()
    if (copies > 0) log.info({ host: hostId, copies }, 'copies that were under way are over')
  } catch (err) {
    log.error({ host: hostId, err }, 'what an agent before this one left is not cleared away')
  }
}

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
    await restoreWeights({ engine, hostId, log })
    log.info({ host: hostId, runtimes: adopted.length }, 'runtimes adopted')
  } catch (err) {
    log.error({ host: hostId, err }, 'engine is not fit for starts yet')
  }
}
