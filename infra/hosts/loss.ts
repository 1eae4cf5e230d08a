import { rulesNaming } from './bridge.ts'
import { enter } from './namespace.ts'
import type { Naming } from './naming.ts'
import { system } from './system.ts'

export type Link = {
  naming: Naming
  host: number
  /** This machine's address towards the host. */
  bridge: string
  /** The host's. */
  address: string
}

/**
 * Loses packets between a host and this machine, each way; a share of 0 ends it. Where they arrive, so that the sender does
 * not notice (the kernel sends a packet that is dropped on its way out again at once). By the firewall, because not every
 * kernel has netem. The rules go with the bridge and with the namespace.
 */
export async function setLoss({ naming, host, bridge, address }: Link, share: number): Promise<void> {
  const here = (args: readonly string[]) => system('iptables', ['-w', '5', ...args])
  const [nsenter, ...within] = enter(naming.netns(host))
  const there = (args: readonly string[]) => system(nsenter, [...within, 'iptables', '-w', '5', ...args])
  const drop = ['-m', 'statistic', '--mode', 'random', '--probability', String(share), '-j', 'DROP']
  for (const [run, network, from, to] of [
    [here, naming.bridge, address, bridge],
    [there, 'eth0', bridge, address],
  ] as const) {
    for (const rule of lossRules(await run(['-S', 'INPUT']), network, from)) await run(rule)
    if (share > 0) await run(['-I', 'INPUT', '-i', network, '-s', from, '-d', to, ...drop])
  }
}

/** How many packets have been lost on their way to the host, for as long as loss is on. */
export async function countLost({ naming, host, bridge }: Link): Promise<number> {
  const [nsenter, ...within] = enter(naming.netns(host))
  const listing = await system(nsenter, [...within, 'iptables', '-w', '5', '-nvxL', 'INPUT'])
  const line = listing.split('\n').find(line => line.includes('statistic') && line.includes(bridge))
  return Number(line?.trim().split(/\s+/)[0] ?? 0)
}

/** What deletes the rules that lose packets from this address. */
const lossRules = (listing: string, network: string, from: string): string[][] =>
  rulesNaming(network, listing).filter(rule => rule.includes('statistic') && rule.includes(`${from}/32`))
