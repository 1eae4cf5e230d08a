import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type Docker from 'dockerode'
import { Explained } from '../dev/explained.ts'
import { markOf } from '../dev/names.ts'
import { type Candidate, candidates } from './addresses.ts'
import { type EngineConfig, readEngineConfig } from './config.ts'
import { type Daemon, findDaemon, startDaemon } from './daemon.ts'
import { aptInstall, command, findProgram, hasSystemd, isDebian } from './install.ts'
import * as messages from './messages.ts'
import { type Answer, dockerAt, probe } from './probe.ts'
import { ensureSpace } from './space.ts'

export type Engine = {
  /** As DOCKER_HOST has it. */
  dockerHost: string
  docker: Docker
  /** Set when the daemon is a process that this repo's `up` or `test` started, now or in an earlier run. */
  startedByUs?: Daemon
}

export type EngineOptions = {
  /** Folder for the daemon's log (`.porthole`); also names whose daemon it is. */
  stateDir: string
  onProgress?: (detail: string) => void
  signal?: AbortSignal
  config?: EngineConfig
}

const socket = '/var/run/docker.sock'
const pidFile = '/var/run/docker.pid'

/**
 * The Docker engine of this machine. Where none answers and we are root on Debian or Ubuntu, it is installed and started: by
 * systemd where that runs, else as a process of our own.
 * @throws Explained one message that says what to do
 */
export async function findOrStartEngine(options: EngineOptions): Promise<Engine> {
  const config = options.config ?? readEngineConfig()
  const found = (await findEngine(config)) ?? (await startEngine(config, options))
  const mine = found === `unix://${socket}` ? findDaemon(pidFile, markOf(options.stateDir)) : undefined
  const docker = dockerAt(found, config)
  const { DockerRootDir } = (await docker.info()) as { DockerRootDir?: string }
  if (DockerRootDir && existsSync(DockerRootDir)) ensureSpace(DockerRootDir, "Docker's own folder")
  return { dockerHost: found, docker, ...(mine ? { startedByUs: mine } : {}) }
}

/** The daemon that an earlier run of this repo left behind, if any; for cleaning up after a kill -9. */
export const leftoverDaemon = (stateDir: string): Daemon | undefined => findDaemon(pidFile, markOf(stateDir))

/** The engine that answers now, without starting any; undefined when none does. For cleaning up. */
export async function answeringEngine(config = readEngineConfig()): Promise<Engine | undefined> {
  const address = await findEngine(config).catch(() => undefined)
  return address === undefined ? undefined : { dockerHost: address, docker: dockerAt(address, config) }
}

async function findEngine(config: EngineConfig): Promise<string | undefined> {
  const places = candidates(config)
  const answers = await Promise.all(places.map(({ address }) => probe(address, config)))
  return choose(
    places.map((place, i) => [place, answers[i] ?? { kind: 'absent' }]),
    system(),
  )
}

/** The first engine that answers; undefined when there is none at all. @throws Explained when one is there but cannot be used */
export function choose(asked: readonly (readonly [Candidate, Answer])[], on: messages.System): string | undefined {
  const working = asked.find(([, answer]) => answer.kind === 'answers')
  if (working) return working[0].address
  for (const [{ address, from }, answer] of asked) {
    if (answer.kind === 'forbidden') throw new Explained(messages.forbidden(address, on))
    if (answer.kind === 'unwell') throw new Explained(messages.unwell(address, answer.reason))
    if (from !== 'socket') throw new Explained(messages.silent(address, from))
  }
  return undefined
}

const system = (): messages.System => ({
  platform: process.platform,
  isRoot: process.getuid?.() === 0,
  isDebian: isDebian(),
  user: userInfo().username,
})

async function startEngine(config: EngineConfig, { stateDir, onProgress, signal }: EngineOptions): Promise<string> {
  const on = system()
  if (on.platform !== 'linux' || !on.isRoot) throw new Explained(messages.noEngine(on))
  ensureSpace('/var/lib/docker', "Docker's own folder")
  const run = { path: config.path, ...(onProgress && { onProgress }), ...(signal && { signal }) }

  // A machine can have the docker command alone, so what counts is the daemon, and iptables, which it cannot do without.
  const missing = () => !findProgram('dockerd', config.path) || !findProgram('iptables', config.path)
  if (missing()) {
    if (!on.isDebian) throw new Explained(messages.noEngine(on))
    await aptInstall(['docker.io', 'iptables'], run)
  }
  const program = findProgram('dockerd', config.path)
  if (!program) throw new Explained(messages.noEngine(on))

  if (hasSystemd()) {
    onProgress?.('starting the docker service')
    await command('systemctl', ['start', 'docker'], run)
    await answersWithin(30_000, config, signal)
  } else if ((await probe(`unix://${socket}`, config)).kind !== 'answers') {
    onProgress?.('starting dockerd')
    const logFile = join(stateDir, 'dockerd.log')
    await startDaemon({ program, socket, pidFile, logFile, mark: markOf(stateDir), ...run })
  }
  return `unix://${socket}`
}

async function answersWithin(ms: number, config: EngineConfig, signal: AbortSignal | undefined) {
  const deadline = Date.now() + ms
  while ((await probe(`unix://${socket}`, config)).kind !== 'answers') {
    if (Date.now() > deadline) throw new Explained(messages.unwell(socket, 'it was started and gives no answer'))
    await delay(100, undefined, { signal })
  }
}
