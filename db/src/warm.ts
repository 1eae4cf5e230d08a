import { and, eq, gt, isNull, notInArray, type SQLWrapper, sql } from 'drizzle-orm'
import { encodeTime } from 'ulid'
import type { Db, Tx } from './connect.ts'
import { isLive, type Need } from './hosts.ts'
import { inMs } from './runtimes.ts'
import { hosts, type RuntimeRow, runtimes, tenants } from './schema.ts'
import { warmTenant } from './states.ts'

/** What is kept warm: of one spec, made from the same. */
export type WarmKind = { spec: string; fingerprint: string; need: Need }

/** Makes the tenant that warm runtimes are booked on. */
export const ensureWarmTenant = async (db: Tx): Promise<void> => {
  await db.insert(tenants).values({ slug: warmTenant, mode: 'docker-per-task' }).onConflictDoNothing()
}

const isSchedulable = and(isNull(hosts.removedAt), hosts.schedulable, isLive)

const hasDisk = (leastBytes: number) => sql`(${hosts.diskFreeBytes} is null or ${hosts.diskFreeBytes} >= ${leastBytes})`

/** Nobody has been given it since it was seen. */
export const stillWarm = eq(runtimes.tenant, warmTenant)

const isWarm = and(eq(runtimes.tenant, warmTenant), notInArray(runtimes.state, ['deleting', 'deleted']))

/** How many there are of a kind on hosts that take somebody, those that are being started included. */
export const countWarm = (db: Db, { spec, fingerprint }: WarmKind): Promise<number> =>
  db.$count(
    runtimes,
    and(
      eq(runtimes.tenant, warmTenant),
      sql`${runtimes.state} in ('pending', 'starting', 'running')`,
      eq(runtimes.spec, spec),
      sql`${runtimes.labels} ->> 'fingerprint' = ${fingerprint}`,
      sql`exists (select from ${hosts} where ${hosts.id} = ${runtimes.hostId} and ${isSchedulable})`,
    ),
  )

/**
 * Hosts on which one more may be started now, emptiest first: with room for it and for somebody else besides, fewer than
 * `perHost` of its kind, and nothing else being started. For `holdMs` nobody is told them again, by whichever gateway.
 */
export const takeHostsToWarm = async (
  db: Db,
  { spec, fingerprint, need }: WarmKind,
  {
    perHost,
    limit,
    holdMs,
    leastDiskBytes,
  }: { perHost: number; limit: number; holdMs: number; leastDiskBytes: number },
): Promise<string[]> => {
  const free = (capacity: SQLWrapper, reserved: SQLWrapper, needed: number) =>
    sql`${capacity} - ${reserved} >= ${2 * needed}`
  const ready = db
    .select({ id: hosts.id })
    .from(hosts)
    .where(
      and(
        isSchedulable,
        sql`(${hosts.fillFrom} is null or ${hosts.fillFrom} <= now())`,
        free(hosts.memoryBytes, hosts.reservedMemoryBytes, need.memoryBytes),
        free(hosts.cpuMillis, hosts.reservedCpuMillis, need.cpuMillis),
        free(hosts.slots, hosts.reservedSlots, 1),
        hasDisk(leastDiskBytes),
        // The literal is what has Postgres use their index.
        sql`(
          select count(*) from ${runtimes} warm where warm.host_id = ${hosts.id} and warm.tenant = '~warm'
            and warm.state in ('pending', 'starting', 'running') and warm.spec = ${spec}
            and warm.labels ->> 'fingerprint' = ${fingerprint}
        ) < ${perHost}`,
        sql`not exists (
          select from ${runtimes} failed where failed.host_id = ${hosts.id} and failed.tenant = '~warm' and failed.state = 'failed'
        )`,
        sql`not exists (select from ${runtimes} busy where busy.host_id = ${hosts.id} and busy.state = 'starting')`,
      ),
    )
    .orderBy(sql`${hosts.reservedMemoryBytes}::float8 / greatest(${hosts.memoryBytes}, 1)`)
    .limit(limit)
    .for('update', { skipLocked: true })
  const taken = await db
    .update(hosts)
    .set({ fillFrom: inMs(holdMs) })
    .where(sql`${hosts.id} in (${ready.getSQL()})`)
    .returning({ id: hosts.id })
  return taken.map(({ id }) => id)
}

/** One that could not be started there: no other is for `ms`. */
export const holdWarming = async (db: Tx, hostId: string, ms: number): Promise<void> => {
  await db
    .update(hosts)
    .set({ fillFrom: sql`greatest(${hosts.fillFrom}, ${inMs(ms)})` })
    .where(eq(hosts.id, hostId))
}

/** Seconds for which one of another kind is left to gateways that may still have older specs. */
const strangeSeconds = 60

/**
 * Warm runtimes that are to go: ended, of a kind that is not wanted (any more), old, on a host that takes no more, or too many.
 *
 * @param kinds those that are wanted, and how many of each on a host, and in all where that is bounded
 */
export const listSpareWarm = (
  db: Db,
  kinds: readonly { spec: string; fingerprint: string; perHost: number; inAll?: number | undefined }[],
  { maxAgeSeconds, limit }: { maxAgeSeconds: number; limit: number },
): Promise<RuntimeRow[]> => {
  const wanted = sql`json_to_recordset(${JSON.stringify(kinds)}::text::json) as kind(spec text, fingerprint text, "perHost" int, "inAll" int)`
  const ofKind = sql`kind.spec = ${runtimes.spec} and kind.fingerprint = ${runtimes.labels} ->> 'fingerprint'`
  const age = (seconds: number) => sql`${runtimes.createdAt} < now() - make_interval(secs => ${seconds})`
  return db
    .select()
    .from(runtimes)
    .where(
      and(
        isWarm,
        sql`(
          ${runtimes.state} in ('paused', 'stopping', 'stopped', 'failed', 'lost')
          or (${runtimes.state} = 'pending' and ${age(strangeSeconds)})
          or (not exists (select from ${wanted} where ${ofKind}) and ${age(strangeSeconds)})
          or (${runtimes.state} = 'running' and (
            ${age(maxAgeSeconds)}
            or exists (select from ${hosts} where ${hosts.id} = ${runtimes.hostId} and not (${hosts.schedulable} and ${hosts.removedAt} is null))
            or exists (select from ${wanted} where ${ofKind} and kind."perHost" <= (
              select count(*) from ${runtimes} newer where newer.host_id = ${runtimes.hostId} and newer.tenant = '~warm'
                and newer.state = 'running' and newer.spec = ${runtimes.spec}
                and newer.labels ->> 'fingerprint' = ${runtimes.labels} ->> 'fingerprint' and newer.id > ${runtimes.id}
            ))
            or exists (select from ${wanted} where ${ofKind} and kind."inAll" is not null and kind."inAll" <= (
              select count(*) from ${runtimes} newer where newer.tenant = '~warm' and newer.state = 'running'
                and newer.spec = ${runtimes.spec}
                and newer.labels ->> 'fingerprint' = ${runtimes.labels} ->> 'fingerprint' and newer.id > ${runtimes.id}
            ))
          ))
        )`,
      ),
    )
    .limit(limit)
}

type RoomOn = {
  hostId?: string | undefined
  labels?: Readonly<Record<string, string>> | undefined
  excluded?: readonly string[]
  leastDiskBytes?: number
}

type Figures = Pick<
  typeof hosts.$inferSelect,
  | 'memoryBytes'
  | 'cpuMillis'
  | 'gpus'
  | 'slots'
  | 'reservedMemoryBytes'
  | 'reservedCpuMillis'
  | 'reservedGpus'
  | 'reservedSlots'
>

/**
 * Warm runtimes that would make room for somebody if they went: all of one host, and no more than it takes. Those that are
 * going already come first.
 *
 * @param on.hostId the host that it has to be; undefined: any that takes it by its labels and has disk, but for those excluded
 * @returns none where they would not make enough room
 */
export const listWarmInTheWay = async (
  db: Db,
  need: Need,
  { hostId, labels = {}, excluded = [], leastDiskBytes = 0 }: RoomOn,
): Promise<RuntimeRow[]> => {
  const { memoryBytes, cpuMillis, gpus, slots } = hosts
  const { reservedMemoryBytes, reservedCpuMillis, reservedGpus, reservedSlots } = hosts
  const figures = {
    ...{ memoryBytes, cpuMillis, gpus, slots },
    ...{ reservedMemoryBytes, reservedCpuMillis, reservedGpus, reservedSlots },
  }
  const rows = await db
    .select({ row: runtimes, host: figures })
    .from(runtimes)
    .innerJoin(hosts, eq(hosts.id, runtimes.hostId))
    .where(
      and(
        sql`${runtimes.tenant} = '~warm' and ${runtimes.state} in ('running', 'deleting')`,
        eq(runtimes.reserved, true),
        isSchedulable,
        hasDisk(leastDiskBytes),
        excluded.length === 0 ? undefined : notInArray(runtimes.hostId, [...excluded]),
        sql`${hosts.labels} @> ${JSON.stringify(labels)}::text::jsonb`,
        hostId === undefined ? undefined : eq(hosts.id, hostId),
      ),
    )
    .orderBy(runtimes.hostId, runtimes.state, runtimes.id)
    .limit(1000)
  for (const candidates of Object.values(Object.groupBy(rows, ({ row }) => row.hostId ?? ''))) {
    const chosen = enoughOf(candidates ?? [], need)
    if (chosen.length > 0) return chosen
  }
  return []
}

const enoughOf = (candidates: { row: RuntimeRow; host: Figures }[], need: Need): RuntimeRow[] => {
  const [first] = candidates
  if (!first) return []
  const { host } = first
  const free = {
    memoryBytes: host.memoryBytes - host.reservedMemoryBytes,
    cpuMillis: host.cpuMillis - host.reservedCpuMillis,
    gpus: host.gpus - host.reservedGpus,
    slots: host.slots - host.reservedSlots,
  }
  const chosen: RuntimeRow[] = []
  const isEnough = () =>
    free.memoryBytes >= need.memoryBytes &&
    free.cpuMillis >= need.cpuMillis &&
    free.gpus >= need.gpus &&
    free.slots >= 1
  for (const { row } of candidates) {
    if (isEnough()) break
    chosen.push(row)
    free.memoryBytes += row.needMemoryBytes
    free.cpuMillis += row.needCpuMillis
    free.gpus += row.needGpus
    free.slots += 1
  }
  return isEnough() ? chosen : []
}

/**
 * When the newest runtimes of a spec were asked for, at most `limit` of them, within `seconds`.
 *
 * @param warmSeconds by how much one that was warm first may be older, by its id, than it was asked for
 */
export const recentCreates = async (
  db: Db,
  spec: string,
  { seconds, warmSeconds, limit }: { seconds: number; warmSeconds: number; limit: number },
): Promise<Date[]> => {
  const from = Date.now() - 1000 * (seconds + warmSeconds)
  const rows = await db
    .select({ createdAt: runtimes.createdAt })
    .from(runtimes)
    .where(
      and(
        gt(runtimes.id, `rt_${encodeTime(from, 10)}`),
        eq(runtimes.spec, spec),
        sql`${runtimes.tenant} <> ${warmTenant}`,
        gt(runtimes.createdAt, inMs(-1000 * seconds)),
      ),
    )
    .orderBy(sql`${runtimes.id} desc`)
    .limit(limit)
  return rows.map(({ createdAt }) => createdAt)
}
