import type Docker from 'dockerode'
import type { Step } from '../dev/process-identity.ts'
import { dockerAt } from '../docker/probe.ts'
import type { Bridge } from './bridge.ts'
import { folderOf, socketOf, startHostEngine } from './host-engine.ts'
import { enter, makeNamespace, setCable } from './namespace.ts'
import type { Naming } from './naming.ts'
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
  /** Where dockerd and ip are. */
  program: string
  ip: string
  path: string
  signal: AbortSignal
}

/** A namespace with an engine in it. What was made of it before a failure is left to `clearHosts`. */
export async function makeHost({ naming, host, name, bridge, program, ip, path, signal }: HostOptions): Promise<Host> {
  const address = await makeNamespace(naming, host, bridge, signal)
  const netns = naming.netns(host)
  const start = (signal?: AbortSignal) =>
    startHostEngine({ naming, host, engineRange: bridge.engineRange, program, path, signal })
  let engine = await start(signal)
  const dockerHost = `unix://${socketOf(naming, host)}`
  const [outside, ...within] = enter(netns)
  return {
    name,
    address,
    netns,
    folder: folderOf(naming, host),
    dockerHost,
    docker: dockerAt(dockerHost, { tls: false, certPath: undefined }),
    within: [ip, 'netns', 'exec', netns],
    run: (command, args, options) => system(outside, [...within, command, ...args], options),
    cut: () => setCable(naming, host, 'down'),
    heal: () => setCable(naming, host, 'up'),
    enginePid: () => engine.pid,
    stopEngine: steps => engine.stop(steps),
    async startEngine() {
      await engine.stop()
      engine = await start()
    },
  }
}
