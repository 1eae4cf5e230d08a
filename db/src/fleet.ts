import { sql } from 'drizzle-orm'
import type { Db } from './connect.ts'
import { lostAfterSeconds, unreachableAfterSeconds } from './hosts.ts'
import { isAnyOf } from './raw.ts'
import { type HostRow, hosts } from './schema.ts'

/** What of a host changes with its runtimes and its heartbeats. */
export type HostFigures = Pick<
  HostRow,
  | 'id'
  | 'schedulable'
  | 'memoryBytes'
  | 'cpuMillis'
  | 'slots'
  | 'gpus'
  | 'reservedMemoryBytes'
  | 'reservedCpuMillis'
  | 'reservedSlots'
  | 'reservedGpus'
  | 'diskFreeBytes'
> & {
  live: boolean
  /** Silent for so long that what was on it is lost. */
  lost: boolean
  hasReported: boolean
  /** Another one when its traits are not the same any more. */
  traitsDigest: number
}

/** What of a host changes seldom, and takes room. */
export type HostTraits = Pick<HostRow, 'id' | 'name' | 'labels' | 'images'>

/** Elements of an array of numbers, as Postgres writes it. */
const numbers = (column: string): number[] => JSON.parse(`[${column.slice(1, -1)}]`)

const bits = { schedulable: 1, live: 2, hasReported: 4, lost: 8 }
/** Where a host does not tell how much is free on its disk. */
const untold = -1

/**
 * The figures of all hosts that have not been removed, in one row of one array for each column: ten thousand rows would take a
 * driver ten times as long to take apart.
 */
export const readFigures = async (db: Db): Promise<HostFigures[]> => {
  const flags = sql`schedulable::int * ${sql.raw(String(bits.schedulable))}
    + coalesce(last_seen_at > now() - make_interval(secs => ${unreachableAfterSeconds}), false)::int * ${sql.raw(String(bits.live))}
    + (last_seen_at is not null)::int * ${sql.raw(String(bits.hasReported))}
    + coalesce(last_seen_at < now() - make_interval(secs => ${lostAfterSeconds}), false)::int * ${sql.raw(String(bits.lost))}`
  const [row] = await db.execute<Record<string, string | null>>(sql`
    select array_agg(id)::text as ids, array_agg(${flags})::text as flags,
      array_agg(memory_bytes)::text as memory, array_agg(reserved_memory_bytes)::text as reserved_memory,
      array_agg(cpu_millis)::text as cpu, array_agg(reserved_cpu_millis)::text as reserved_cpu,
      array_agg(slots)::text as slots, array_agg(reserved_slots)::text as reserved_slots,
      array_agg(gpus)::text as gpus, array_agg(reserved_gpus)::text as reserved_gpus,
      array_agg(coalesce(disk_free_bytes, ${untold}))::text as disk,
      array_agg(hashtext(name) # jsonb_hash(labels) # (jsonb_hash(images) << 1))::text as digests
    from ${hosts} where removed_at is null`)
  if (!row?.ids) return []
  // Ids are words of letters, digits and underscores: never quoted.
  const ids = row.ids.slice(1, -1).split(',')
  const of = (name: string) => numbers(row[name] ?? '{}')
  const [flag, memory, reservedMemory, cpu, reservedCpu] = [
    of('flags'),
    of('memory'),
    of('reserved_memory'),
    of('cpu'),
    of('reserved_cpu'),
  ]
  const [slots, reservedSlots, gpus, reservedGpus] = [
    of('slots'),
    of('reserved_slots'),
    of('gpus'),
    of('reserved_gpus'),
  ]
  const [disk, digests] = [of('disk'), of('digests')]
  return ids.map((id, n) => {
    const set = flag[n] ?? 0
    const free = disk[n] ?? untold
    return {
      id,
      schedulable: (set & bits.schedulable) > 0,
      live: (set & bits.live) > 0,
      lost: (set & bits.lost) > 0,
      hasReported: (set & bits.hasReported) > 0,
      memoryBytes: memory[n] ?? 0,
      cpuMillis: cpu[n] ?? 0,
      slots: slots[n] ?? 0,
      gpus: gpus[n] ?? 0,
      reservedMemoryBytes: reservedMemory[n] ?? 0,
      reservedCpuMillis: reservedCpu[n] ?? 0,
      reservedSlots: reservedSlots[n] ?? 0,
      reservedGpus: reservedGpus[n] ?? 0,
      diskFreeBytes: free === untold ? null : free,
      traitsDigest: digests[n] ?? 0,
    }
  })
}

/** The traits of some hosts. */
export const readTraits = (db: Db, ids: readonly string[]): Promise<HostTraits[]> =>
  db
    .select({ id: hosts.id, name: hosts.name, labels: hosts.labels, images: hosts.images })
    .from(hosts)
    .where(isAnyOf(hosts.id, ids))
