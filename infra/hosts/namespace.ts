import { readdir } from 'node:fs/promises'
import { isMissing } from '../dev/files.ts'
import { commandLine, identify, type ProcessIdentity } from '../dev/process-identity.ts'
import type { Bridge } from './bridge.ts'
import type { Naming } from './naming.ts'
import { addressIn } from './ranges.ts'
import { attempt, system } from './system.ts'

const folder = '/run/netns'

/** Runs a program in a network namespace. Unlike `ip netns exec` it leaves /sys alone, where the engine has its cgroups. */
export const enter = (netns: string): [string, ...string[]] => ['nsenter', `--net=${folder}/${netns}`]

/** A network namespace with a cable to the bridge. Resolves to its address. */
export async function makeNamespace(
  naming: Naming,
  host: number,
  bridge: Bridge,
  signal?: AbortSignal,
): Promise<string> {
  const [netns, cable] = [naming.netns(host), naming.cable(host)]
  const address = addressIn(bridge.range, host + 1)
  const ip = (...args: string[]) => system('ip', args, { signal })
  await ip('netns', 'add', netns)
  await ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns)
  await ip('link', 'set', cable, 'master', naming.bridge, 'up')
  await ip('-n', netns, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
  await ip('-n', netns, 'link', 'set', 'lo', 'up')
  await ip('-n', netns, 'link', 'set', 'eth0', 'up')
  await ip('-n', netns, 'route', 'add', 'default', 'via', bridge.address)
  return address
}

/** Those of these hosts that there are, from a killed run too. */
export async function findNamespaces(naming: Naming): Promise<string[]> {
  try {
    return (await readdir(folder)).filter(naming.isOurNetns)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** The cable to a host drawn, or plugged in again. */
export async function setCable(naming: Naming, host: number, state: 'up' | 'down'): Promise<void> {
  await system('ip', ['link', 'set', naming.cable(host), state])
}

export type Occupant = ProcessIdentity & { command: string }

/** The live processes in a namespace: engine, containers' shims, agent. Containers have namespaces of their own. */
export async function occupantsOf(netns: string): Promise<Occupant[]> {
  const pids = (await system('ip', ['netns', 'pids', netns])).split('\n').filter(Boolean).map(Number)
  return pids.flatMap(pid => {
    const identity = identify(pid)
    return identity ? [{ ...identity, command: commandLine(pid) }] : []
  })
}

/** Removes an empty namespace, and its cable with it. */
export async function removeNamespace(netns: string): Promise<void> {
  if (!(await attempt('ip', ['netns', 'delete', netns]))) await system('ip', ['netns', 'delete', netns])
}
