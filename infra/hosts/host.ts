import { join } from 'node:path'
import type Docker from 'dockerode'
import type { Step } from '../dev/process-identity.ts'
import { dockerAt } from '../docker/probe.ts'
import type { Bridge } from './bridge.ts'
import { type Disk, mountDisk } from './disk.ts'
import { folderOf, socketOf, startHostEngine } from './host-engine.ts'
import { countLost, setLoss } from './loss.ts'
import { enter, makeNamespace, setCable } from './namespace.ts'
import type { Naming } from './naming.ts'
import { resetConnections } from './resets.ts'
import { openSlowWay, type SlowWay } from './slow-way.ts'
import { type SystemOptions, system } from './system.ts'

/** A host made out of a part of this machine. */
export type Host = {
  name: string
  /** Where the gateway and the other hosts reach it. */
  address: string
  netns: string
  /** Where it keeps its things between runs. */
  folder: string
  dockerHost: string
  docker: Docker
  /** What a program that belongs to the host is started with. It sees the host's interfaces in /sys too. */
  within: readonly string[]
  /** Runs a program in its network to the end; resolves to what it wrote. */
  run(program: string, args: readonly string[], options?: SystemOptions): Promise<string>
  /** Draws its network cable: nothing comes through any more, and nobody is told. */
  cut(): Promise<void>
  heal(): Promise<void>
  /** Loses that share of the packets between it and this machine, each way; 0 ends it. */
  lose(share: number): Promise<void>
  /** How many packets were lost on their way to it, for as long as some are. */
  countLost(): Promise<number>
  /** Resets every connection that stands between it and this machine. */
  reset(): Promise<void>
  /**
   * Makes these connections between it and this machine slow, from the next one on: those that stand are reset.
   * @param ms what a round trip takes longer @param ports where the host listens, and where this machine does
   */
  slow(ms: number, ports: { host: number; machine: number }): Promise<SlowWay>
  /** Where its engine stores, if that is of its own. */
  disk: Disk | undefined
  /** The engine's process. */
  enginePid(): number
  /** In order unless told otherwise: a KILL leaves its containers running, as on any host. */
  stopEngine(steps?: readonly Step[]): Promise<void>
  startEngine(): Promise<void>
}

export type HostOptions = {
  naming: Naming
  /** From 1. */
  host: number
  name: string
  bridge: Bridge
  diskBytes?: number | undefined
  /** Where dockerd and ip are. */
  program: string
  ip: string
  path: string
  signal: AbortSignal
}

/** A namespace with an engine in it. What was made of it before a failure is left to `clearHosts`. */
export async function makeHost(options: HostOptions): Promise<Host> {
  const { naming, host, name, bridge, diskBytes, program, ip, path, signal } = options
  const address = await makeNamespace(naming, host, bridge, signal)
  const netns = naming.netns(host)
  const folder = folderOf(naming, host)
  const disk = diskBytes === undefined ? undefined : await mountDisk(folder, diskBytes, signal)
  const dataRoot = join(disk?.folder ?? folder, 'docker')
  const start = (signal?: AbortSignal) =>
    startHostEngine({ naming, host, engineRange: bridge.engineRange, dataRoot, program, path, signal })
  let engine = await start(signal)
  const dockerHost = `unix://${socketOf(naming, host)}`
  const link = { naming, host, bridge: bridge.address, address }
  const [outside, ...within] = enter(netns)
  return {
    name,
    address,
    netns,
    folder,
    dockerHost,
    docker: dockerAt(dockerHost, { tls: false, certPath: undefined }),
    within: [ip, 'netns', 'exec', netns],
    run: (command, args, options) => system(outside, [...within, command, ...args], options),
    cut: () => setCable(naming, host, 'down'),
    heal: () => setCable(naming, host, 'up'),
    lose: share => setLoss(link, share),
    countLost: () => countLost(link),
    reset: () => resetConnections(address),
    slow: (ms, ports) => openSlowWay({ naming, bridge, address, ms, ports }),
    disk,
    enginePid: () => engine.pid,
    stopEngine: steps => engine.stop(steps),
    async startEngine() {
      await engine.stop()
      engine = await start()
    },
  }
}
