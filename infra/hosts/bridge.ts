import { readFile, writeFile } from 'node:fs/promises'
import { Explained } from '../dev/explained.ts'
import { markOf } from '../dev/names.ts'
import type { Naming } from './naming.ts'
import { addressIn, engineRanges, freeRange, hostRanges, routedRanges } from './ranges.ts'
import { attempt, system } from './system.ts'

export type Bridge = {
  /** This machine's address towards the hosts. */
  address: string
  /** The hosts' range, as 10.213.7.0/24. */
  range: string
  /** Where the hosts' engines take their networks from. */
  engineRange: string
  /** Puts this machine's forwarding back as it was. */
  restoreForwarding(): Promise<void>
}

const forwarding = '/proc/sys/net/ipv4/ip_forward'

/** A network of our own that the hosts are plugged into, with a way to wherever this machine reaches. */
export async function makeBridge(naming: Naming, signal?: AbortSignal): Promise<Bridge> {
  const taken = routedRanges(await system('ip', ['-json', '-4', 'route', 'show', 'table', 'all'], { signal }))
  const range = freeRange(hostRanges(markOf(naming.dir)), taken)
  const engineRange = freeRange(engineRanges, taken)
  if (!range || !engineRange) {
    throw new Explained(
      'No range of addresses is free for several hosts: this machine has routes to all of 10.213.0.0/16.',
    )
  }
  const address = addressIn(range, 1)
  const { bridge } = naming
  await system('ip', ['link', 'add', bridge, 'type', 'bridge'], { signal })
  await system('ip', ['addr', 'add', `${address}/24`, 'dev', bridge], { signal })
  await system('ip', ['link', 'set', bridge, 'up'], { signal })
  for (const rule of rulesOf(bridge, range, address)) await system('iptables', ['-w', '5', ...rule], { signal })
  return { address, range, engineRange, restoreForwarding: await forward() }
}

/**
 * First in their chains, because what comes after may refuse them, Docker's own policy for forwarding at the latest: hosts
 * reach each other, and through this machine what it reaches; on this machine, the gateway behind the bridge's address.
 */
const rulesOf = (bridge: string, range: string, address: string): string[][] => [
  ['-t', 'nat', '-A', 'POSTROUTING', '-s', range, '!', '-o', bridge, '-j', 'MASQUERADE'],
  ['-I', 'FORWARD', '-i', bridge, '-s', range, '-j', 'ACCEPT'],
  ['-I', 'FORWARD', '-o', bridge, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT'],
  ['-I', 'INPUT', '-i', bridge, '-d', address, '-p', 'tcp', '-j', 'ACCEPT'],
  // Answers to what this machine asks of the hosts.
  ['-I', 'INPUT', '-i', bridge, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT'],
]

async function forward(): Promise<() => Promise<void>> {
  const before = await readFile(forwarding, 'utf8')
  if (before.trim() === '1') return async () => {}
  await writeFile(forwarding, '1')
  return () => writeFile(forwarding, before)
}

/** Removes the bridge and every rule that names it; fine when there is none. */
export async function removeBridge({ bridge }: Naming): Promise<void> {
  for (const table of ['filter', 'nat']) {
    for (const rule of rulesNaming(bridge, await system('iptables', ['-w', '5', '-t', table, '-S']))) {
      await system('iptables', ['-w', '5', '-t', table, ...rule])
    }
  }
  await attempt('ip', ['link', 'delete', bridge])
}

/** What deletes the rules with this interface out of a listing by `iptables -S`. */
export const rulesNaming = (bridge: string, listing: string): string[][] =>
  listing
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .filter(([verb, ...words]) => verb === '-A' && words.includes(bridge))
    .map(([, ...words]) => ['-D', ...words])
