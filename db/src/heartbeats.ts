import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Tx } from './connect.ts'
import { type HostRow, hosts, runtimes } from './schema.ts'

/** What a host tells of itself that seldom changes. */
export type HostFacts = Pick<
  HostRow,
  'memoryBytes' | 'cpuMillis' | 'slots' | 'gpus' | 'engineVersion' | 'images' | 'labels'
>

/** A heartbeat, as it is written. */
export type Beat = Pick<HostRow, 'id' | 'load' | 'diskFreeBytes'> & {
  /** Absent: as they are written already. */
  facts?: HostFacts | undefined
}

const isMember = isNull(hosts.removedAt)

/**
 * Writes what a heartbeat says, behind whoever else has the host's row just now.
 *
 * @returns false when there is no such host (it was removed)
 */
export const recordHeartbeat = async (db: Tx, { id, facts, ...told }: Beat): Promise<boolean> =>
  (
    await db
      .update(hosts)
      .set({ ...told, ...facts, lastSeenAt: sql`now()` })
      .where(and(eq(hosts.id, id), isMember))
      .returning({ id: hosts.id })
  ).length > 0

/** Whether Postgres refused what it was given (SQLSTATE class 22), and not to work. */
const isOfItsData = (error: unknown): boolean =>
  error instanceof Error && (('code' in error && /^22...$/.test(String(error.code))) || isOfItsData(error.cause))

/**
 * Writes what many hosts say in one statement, each host once. It waits for nobody: rows that somebody else has just now are left out, so
 * that one that is held up holds up no other host. Nor does one that says what cannot be written: a statement that is refused
 * for its data is halved until that one is alone.
 *
 * @returns the ids of those written; another one is held, was removed, or cannot be written: `recordHeartbeat` tells which
 */
export const recordHeartbeats = async (db: Tx, beats: readonly Beat[]): Promise<Set<string>> => {
  if (beats.length === 0) return new Set()
  try {
    return await recordTogether(db, beats)
  } catch (error) {
    if (!isOfItsData(error)) throw error
    if (beats.length === 1) return new Set()
    const half = Math.ceil(beats.length / 2)
    const first = await recordHeartbeats(db, beats.slice(0, half))
    return first.union(await recordHeartbeats(db, beats.slice(half)))
  }
}

const recordTogether = async (db: Tx, beats: readonly Beat[]): Promise<Set<string>> => {
  // One parameter, whatever their number: a statement takes 65,535.
  const said = beats.map(({ id, load, diskFreeBytes, facts }) => ({ id, load, disk: diskFreeBytes, ...facts }))
  const written = await db.execute<{ id: string }>(sql`
    with said as materialized (
      select * from json_to_recordset(${JSON.stringify(said)}::text::json) as said (
        id text, load real, disk bigint, "memoryBytes" bigint, "cpuMillis" integer, slots integer, gpus integer,
        "engineVersion" text, images jsonb, labels jsonb
      )
    ), free as materialized (
      select ${hosts.id} from ${hosts} where ${hosts.id} in (select id from said) and ${isMember}
      order by ${hosts.id} for no key update skip locked
    )
    update ${hosts} set
      last_seen_at = now(), load = said.load, disk_free_bytes = said.disk,
      memory_bytes = coalesce(said."memoryBytes", ${hosts.memoryBytes}),
      cpu_millis = coalesce(said."cpuMillis", ${hosts.cpuMillis}),
      slots = coalesce(said.slots, ${hosts.slots}),
      gpus = coalesce(said.gpus, ${hosts.gpus}),
      engine_version = coalesce(said."engineVersion", ${hosts.engineVersion}),
      images = coalesce(said.images, ${hosts.images}),
      labels = coalesce(said.labels, ${hosts.labels})
    from said join free using (id)
    where ${hosts.id} = said.id
    returning ${hosts.id} as id
  `)
  return new Set(written.map(({ id }) => id))
}

/** Writes a host's row as it is, as a heartbeat would. @throws what the database says when it takes no heartbeats */
export const tryToWrite = async (db: Tx): Promise<void> => {
  await db.execute(sql`
    update ${hosts} set load = load where id = (
      select id from ${hosts} where removed_at is null order by last_seen_at desc nulls last limit 1
      for no key update skip locked
    )`)
}

/** What a host says it has. */
export type Inventory = { hostId: string; runtimes: readonly Pick<RuntimeTold, 'id' | 'generation' | 'state'>[] }
type RuntimeTold = { id: string; generation: number; state: string }

/**
 * Compares what many hosts have with what they should have, in one statement. All is well where every container is of a
 * runtime that is there in that generation and state, running or paused, and no other one should be there.
 *
 * @returns by id of those that are members: whether all is well there
 */
export const compareInventories = async (db: Tx, told: readonly Inventory[]): Promise<Map<string, boolean>> => {
  if (told.length === 0) return new Map()
  const ids = JSON.stringify(told.map(({ hostId }) => hostId))
  const containers = JSON.stringify(
    told.flatMap(({ hostId, runtimes }) =>
      runtimes.map(({ id, generation, state }) => ({ hostId, id, generation, state })),
    ),
  )
  const asked = sql`any(array(select json_array_elements_text(${ids}::text::json)))`
  const rows = await db.execute<{ id: string; isWell: boolean }>(sql`
    with told as materialized (
      select * from json_to_recordset(${containers}::text::json)
        as told ("hostId" text, id text, generation bigint, state text)
    ), due as materialized (
      select ${runtimes.hostId} host_id, ${runtimes.id} id, ${runtimes.generation} generation, ${runtimes.state} state
      from ${runtimes}
      where ${runtimes.hostId} = ${asked} and ${runtimes.state} in ('running', 'paused') and ${runtimes.state} <> 'deleted'
    ), odd as materialized (
      select coalesce(told."hostId", due.host_id) host_id from told full join due
        on due.id = told.id and due.host_id = told."hostId" and due.generation = told.generation and due.state = told.state
      where told.id is null or due.id is null
    )
    select ${hosts.id} as id, ${hosts.id} not in (select host_id from odd) as "isWell"
    from ${hosts} where ${hosts.id} = ${asked} and ${isMember}
  `)
  return new Map(rows.map(({ id, isWell }) => [id, isWell]))
}
