import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type Docker from 'dockerode'
import { type Agent, startAgent } from '../../infra/dev/stack.ts'
import { probe } from '../../infra/docker/probe.ts'
import type { Host } from '../../infra/hosts/start-hosts.ts'
import { followContainers } from '../kit/container-logs.ts'
import { evidence } from '../kit/evidence.ts'

export type LabHost = Host & {
  id: string
  /** The one that runs now: tests may kill it. */
  agent(): Agent
  /** Ends it, unless it has ended, and starts one in its place: same port, same key. */
  restartAgent(): Promise<Agent>
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
  /** Ends the wait for the first start. */
  signal?: AbortSignal
}

/** A host with an agent on it that has joined. `end` ends the agent and removes what the lab has made on the host's engine. */
export async function startLabHost(options: LabHostOptions): Promise<{ host: LabHost; end(): Promise<void> }> {
  const { host, names, newJoinToken, settings, signal, ...rest } = options
  const start = async (port: number, signal?: AbortSignal) =>
    startAgent({
      ...rest,
      ...names,
      logName: `agent-${host.name}`,
      within: host.within,
      joinToken: await newJoinToken(),
      hostName: host.name,
      dockerHost: host.dockerHost,
      listenHost: host.address,
      port,
      signal,
      // All of them share this machine's cores.
      settings: { PORTHOLE_STARTS_AT_ONCE: '1', ...settings },
    })
  let agent = await start(0, signal)
  let stopFollowing = async () => {}
  try {
    const { key } = JSON.parse(readFileSync(join(options.dataDir, 'host.json'), 'utf8')) as { key: { d: string } }
    evidence.remember('host key', key.d)
    stopFollowing = await followContainers(host.docker, agent.hostId, options.logDir)
  } catch (error) {
    await agent.stop()
    throw error
  }
  return {
    host: {
      ...host,
      id: agent.hostId,
      agent: () => agent,
      async restartAgent() {
        await agent.stop()
        agent = await start(Number(new URL(agent.url).port))
        return agent
      },
    },
    async end() {
      await agent.stop()
      await host.heal()
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
