import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type Docker from 'dockerode'
import { type Agent, startAgent } from '../../infra/dev/stack.ts'
import { probe } from '../../infra/docker/probe.ts'
import type { SlowWay } from '../../infra/hosts/slow-way.ts'
import type { Host } from '../../infra/hosts/start-hosts.ts'
import { followContainers } from '../kit/container-logs.ts'
import { evidence } from '../kit/evidence.ts'
import type { LabClock } from './clock.ts'

export type LabHost = Omit<Host, 'slow'> & {
  id: string
  /** The one that runs now: tests may kill it. */
  agent(): Agent
  /** Ends it, unless it has ended, and starts one in its place: same port, same key, same join token, used as it is. */
  restartAgent(): Promise<Agent>
  /** Its agent's own, where the lab has such. */
  clock: LabClock | undefined
  /** Makes what agent and gateways say to each other take so many milliseconds longer, there and back; 0 ends it. */
  slow(ms: number): Promise<void>
}

export type LabHostOptions = {
  root: string
  logDir: string
  env: NodeJS.ProcessEnv
  host: Host
  gatewayUrl: string
  names: { containerPrefix: string; volumePrefix: string; network: string }
  image: string
  dataDir: string
  newJoinToken(): Promise<string>
  settings?: Readonly<Record<string, string>> | undefined
  clock?: LabClock | undefined
  /** Ends the wait for the first start. */
  signal?: AbortSignal
}

/** A host with an agent on it that has joined. `end` ends the agent and removes what the lab has made on the host's engine. */
export async function startLabHost(options: LabHostOptions): Promise<{ host: LabHost; end(): Promise<void> }> {
  const { host, names, newJoinToken, settings, clock, signal, ...rest } = options
  // What a run that was cut off has left on an engine is not to be taken for this lab's.
  await removeTraces(host.docker, names)
  const joinToken = await newJoinToken()
  const start = (port: number, signal?: AbortSignal) =>
    startAgent({
      ...rest,
      ...names,
      logName: `agent-${host.name}`,
      within: host.within,
      joinToken,
      hostName: host.name,
      dockerHost: host.dockerHost,
      listenHost: host.address,
      port,
      signal,
      // All of them share this machine's cores.
      settings: { PORTHOLE_STARTS_AT_ONCE: '1', ...settings, ...clock?.env },
    })
  let agent = await start(0, signal)
  let stopFollowing = async () => {}
  const follow = async () => {
    await stopFollowing()
    stopFollowing = await followContainers(host.docker, agent.hostId, options.logDir)
  }
  const slowWays: SlowWay[] = []
  try {
    const { key } = JSON.parse(readFileSync(join(options.dataDir, 'host.json'), 'utf8')) as { key: { d: string } }
    evidence.remember('host key', key.d)
    await follow()
  } catch (error) {
    await agent.stop()
    throw error
  }
  return {
    host: {
      ...host,
      id: agent.hostId,
      clock,
      agent: () => agent,
      async restartAgent() {
        await agent.stop()
        agent = await start(Number(new URL(agent.url).port))
        return agent
      },
      async startEngine() {
        await host.startEngine()
        // The one before has ended with what it told of.
        await follow()
      },
      async slow(ms) {
        for (const way of slowWays) await way.leave()
        const ports = { host: Number(new URL(agent.url).port), machine: Number(new URL(options.gatewayUrl).port) }
        if (ms > 0) slowWays.push(await host.slow(ms, ports))
      },
    },
    async end() {
      await agent.stop()
      for (const way of slowWays) await way.close()
      await host.heal()
      await host.disk?.empty()
      // A test may have ended it; what is stored there is to go.
      const { kind } = await probe(host.dockerHost, { tls: false, certPath: undefined })
      if (kind !== 'answers') await host.startEngine()
      await removeTraces(host.docker, names)
      await stopFollowing()
    },
  }
}

/** The engine is nobody else's, but is kept for the next lab: containers and volumes of an earlier one, cut off, go too. */
async function removeTraces(docker: Docker, { network }: LabHostOptions['names']) {
  const containers = await docker.listContainers({ all: true })
  await Promise.all(containers.map(({ Id }) => docker.getContainer(Id).remove({ force: true, v: true })))
  const { Volumes } = await docker.listVolumes()
  await Promise.all((Volumes ?? []).map(({ Name }) => docker.getVolume(Name).remove()))
  const networks = await docker.listNetworks()
  const ours = networks.filter(({ Name }) => Name.startsWith(network) || /^pt-[0-9a-f]{8}-net/.test(Name))
  await Promise.all(ours.map(({ Id }) => docker.getNetwork(Id).remove()))
}
