import type { Bench, BenchOptions } from '../bench.ts'
import type { Table } from '../table.ts'
import { measureEnsures } from './ensures.ts'
import { measureHeartbeats } from './heartbeats.ts'
import { measureLoss } from './loss.ts'
import { measurePlacements } from './placements.ts'

const parts: Readonly<Record<string, (options: BenchOptions) => Promise<Table | Table[]>>> = {
  placements: measurePlacements,
  heartbeats: measureHeartbeats,
  loss: measureLoss,
  ensures: measureEnsures,
}

/** Thousands of hosts on one machine: what is ours is real, what is Docker's is not there. */
export const scale: Bench = {
  name: 'scale',
  what: 'heartbeats, placements and the loss of hosts, with up to 10,000 simulated hosts and 100,000 runtimes',
  parts: Object.keys(parts),
  run: async function* (options) {
    for (const [name, measure] of Object.entries(parts))
      if (options.only?.includes(name) ?? true) yield* [await measure(options)].flat()
  },
}
