import type { EventRow, HostRow, ProfileRow, RuntimeRow, TenantRow } from '@porthole/db'
import type { Footprint } from './footprint.ts'
import type { History } from './history.ts'

export type SeenContainer = { name: string; id: string; runtime: string; generation: number; state: string }

/** What an engine has, but for what an earlier lab has left there. `marks`: of the volumes that have one. */
export type SeenEngine = {
  host: string
  containers: SeenContainer[]
  volumes: string[]
  networks: string[]
  marks: Record<string, string>
}

/** What is compared after a schedule: what Postgres says, what the engines have, and what clients were told. */
export type Evidence = {
  hosts: HostRow[]
  tenants: TenantRow[]
  runtimes: RuntimeRow[]
  profiles: ProfileRow[]
  /** Volumes that are still to be removed. */
  removals: { hostId: string; ownerHash: string }[]
  events: EventRow[]
  engines: SeenEngine[]
  history: History
  names: { containerPrefix: string; volumePrefix: string; network: string }
  /** What our processes and hosts had of the machine before the schedule, and have now. */
  footprints: { before: Footprint; after: Footprint }
  /** Milliseconds after which a client gave up. */
  callMs: number
}
