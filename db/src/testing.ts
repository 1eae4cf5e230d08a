import { sql } from 'drizzle-orm'
import type { Db } from './connect.ts'
import type { NewRuntime } from './runtimes.ts'
import { type HostRow, hosts } from './schema.ts'

/** A live host with room for `slots` runtimes of `wanted()`, for tests. */
export const addHost = async (db: Db, id: string, slots: number, more: Partial<HostRow> = {}): Promise<void> => {
  await db.insert(hosts).values({
    id,
    name: id,
    url: 'http://127.0.0.1:1',
    publicKey: id,
    memoryBytes: slots * 1000,
    cpuMillis: slots * 100,
    slots,
    ...more,
    lastSeenAt: more.lastSeenAt === undefined ? sql`now()` : more.lastSeenAt,
  })
}

/** A runtime's beginnings, for tests. */
export const wanted = (owner: string, more: Partial<NewRuntime> = {}): NewRuntime => ({
  tenant: 'default',
  mode: 'docker-per-principal',
  owner,
  ownerHash: Buffer.from(owner).toString('hex').padEnd(16, '0').slice(0, 16),
  spec: 'browser',
  needMemoryBytes: 1000,
  needCpuMillis: 100,
  needGpus: 0,
  labels: {},
  start: { memoryBytes: 2000, cpus: 1 },
  ...more,
})
