import type { Recipe } from '@porthole/protocol'
import { networkFor } from '../containers.ts'
import type { Engine, Network } from '../engine/engine.ts'
import type { Firewall } from './firewall.ts'
import type { Fence } from './rules.ts'

const fencedKinds = ['internet', 'none'] as const satisfies readonly Recipe['egress'][]

/** An engine whose networks are fenced before anything can be started on them. */
export type FencedEngine = Engine & {
  /** The fences of the networks that exist now. */
  fences(): Promise<readonly Fence[]>
}

/** @param network the name that the networks of every kind of egress are derived from */
export const fenceEngine = (engine: Engine, firewall: Pick<Firewall, 'cover'>, network: string): FencedEngine => {
  const kinds = new Map(fencedKinds.map(egress => [networkFor(network, egress).name, egress]))
  return {
    ...engine,
    ensureNetwork: async (name, labels, options) => {
      const made = await engine.ensureNetwork(name, labels, options)
      const egress = kinds.get(name)
      if (egress !== undefined) await firewall.cover(fenceOf(made, egress))
      return made
    },
    fences: async () => {
      const found: Fence[] = []
      for (const [name, egress] of kinds) {
        for (const one of await engine.findNetworks(name)) found.push(fenceOf(one, egress))
      }
      return found
    },
  }
}

const fenceOf = ({ id, bridge }: Network, egress: Fence['egress']): Fence => ({ id, bridge, egress })
