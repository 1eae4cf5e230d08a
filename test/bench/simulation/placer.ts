import { createHash } from 'node:crypto'
import type { Database, NewRuntime, RuntimeRow } from '@porthole/db'
import { createPlacement } from '../../../gateway/src/runtimes/placement.ts'
import { runtimeNeed } from './fleet.ts'

/** Places as a gateway does. */
export type Placer = {
  /** @returns the row in `starting`; undefined when its tenant has no room, or somebody else moved it @throws NoRoom */
  place(owner: string, tenant: string): Promise<RuntimeRow | undefined>
  close(): Promise<void>
}

const leaseMs = 15_000

const wantedBy = (owner: string, tenant: string): NewRuntime => ({
  tenant,
  mode: 'docker-per-principal',
  owner,
  ownerHash: createHash('sha256').update(`${tenant}\u001f${owner}`).digest('hex').slice(0, 16),
  spec: 'browser',
  needMemoryBytes: runtimeNeed.memoryBytes,
  needCpuMillis: runtimeNeed.cpuMillis,
  needGpus: runtimeNeed.gpus,
  labels: {},
  start: { memoryBytes: runtimeNeed.memoryBytes, cpus: runtimeNeed.cpuMillis / 1000 },
})

export const openPlacer = async ({ db }: Database): Promise<Placer> => {
  const placement = createPlacement({ db, imageOf: () => undefined })
  return {
    place: async (owner, tenant) => {
      const claimed = await placement.claim(wantedBy(owner, tenant), leaseMs, 0)
      if (claimed?.row.state === 'starting') return claimed.row
      const placed = claimed && (await placement.place(claimed.row, leaseMs))
      return typeof placed === 'object' ? placed : undefined
    },
    close: async () => {},
  }
}
