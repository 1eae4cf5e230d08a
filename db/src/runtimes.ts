import { and, desc, eq, inArray, isNotNull, lt, ne, notInArray, or, type SQL, sql } from 'drizzle-orm'
import type { Db, Tx } from './connect.ts'
import { callerOf, functions } from './functions.ts'
import { type Need, release, unreachableAfterSeconds } from './hosts.ts'
import { lookAtIn, usedNow } from './idle.ts'
import { newId } from './ids.ts'
import { runtimeChannel } from './notices.ts'
import { columnsOf, decodeRuntime, isAnyOf, type Raw } from './raw.ts'
import {
  type EventRow,
  events,
  type HostRow,
  hosts,
  type ProfileRow,
  profiles,
  type RuntimeRow,
  runtimes,
  volumeRemovals,
} from './schema.ts'
import { type EventData, type IdlePolicy, type RuntimeError, type RuntimeState, sourcesOf } from './states.ts'
import { type Allowance, announceRoom, returnQuota } from './tenants.ts'

/** Two owners whose keys share a hash: refused, never a shared container. */
export class OwnerHashTaken extends Error {
  override name = 'OwnerHashTaken'
}

/** The tenant has created too many in this minute. */
export class CreatesExceeded extends Error {
  override name = 'CreatesExceeded'
  readonly allowance: Allowance
  constructor(allowance: Allowance) {
    super(`${allowance.limit} runtimes a minute may be created`)
    this.allowance = allowance
  }
}

export const needOf = (row: RuntimeRow): Need => ({
  memoryBytes: row.needMemoryBytes,
  cpuMillis: row.needCpuMillis,
  gpus: row.needGpus,
})

/** The database's now, `milliseconds` away. */
export const inMs = (milliseconds: number) => sql<Date>`now() + make_interval(secs => ${milliseconds / 1000})`

const ofOwner = (owner: Pick<RuntimeRow, 'tenant' | 'mode' | 'owner'>) =>
  and(eq(runtimes.tenant, owner.tenant), eq(runtimes.mode, owner.mode), eq(runtimes.owner, owner.owner))

const isNotDeleted = ne(runtimes.state, 'deleted')

const ofRuntime = columnsOf()

export type NewRuntime = Pick<
  RuntimeRow,
  | 'tenant'
  | 'mode'
  | 'owner'
  | 'ownerHash'
  | 'spec'
  | 'needMemoryBytes'
  | 'needCpuMillis'
  | 'needGpus'
  | 'labels'
  | 'start'
> & {
  /** Absent: nothing is done to it by itself. */
  idle?: IdlePolicy
  /** What one that was started beforehand has to have been made from to do for it; absent: none does. */
  warm?: string | undefined
}

export type Claimed = {
  row: RuntimeRow
  created: boolean
  allowance?: Allowance | undefined
  /** What came of starting a new one at once: undefined where that was not tried. */
  started?: Started | undefined
}

/**
 * The owner's live runtime: the one there is, or a new one in `pending` whose work the caller has for `leaseMs`.
 *
 * @param waitMs how long a new one is to wait for room, where its tenant's policy lets it
 * @throws OwnerHashTaken, CreatesExceeded
 */
export const claimOwner = (db: Db, wanted: NewRuntime, leaseMs: number, waitMs = 0): Promise<Claimed | undefined> =>
  createOn(db, wanted, null, leaseMs, waitMs)

/**
 * As `claimOwner`, or for a new owner one that is warm: it is `starting` on the host that it runs on. A new one is started on a host in the same transaction, as `tryStartOn` would. Where that is refused, it stays
 * in `pending`.
 */
export const createOn = async (
  db: Db,
  wanted: NewRuntime,
  hostId: string | null,
  leaseMs: number,
  waitMs = 0,
): Promise<Claimed | undefined> => {
  const { tenant, mode, owner, ownerHash, spec, needMemoryBytes, needCpuMillis, needGpus, labels, start } = wanted
  // What it does: functions/create.sql.
  const claim = await callCreate(db.$client, [
    ...[`rt_${newId()}`, tenant, mode, owner, ownerHash, spec, needMemoryBytes, needCpuMillis, needGpus],
    ...[JSON.stringify(labels), JSON.stringify(start), JSON.stringify(wanted.idle ?? {}), leaseMs, waitMs],
    ...[hostId, unreachableAfterSeconds, `pf_${newId()}`, wanted.warm ?? null],
  ])
  switch (claim?.outcome) {
    case 'created':
    case 'found': {
      const row = decodeRuntime(claim.claimed ?? {})
      if (claim.outcome === 'found') return { row, created: false }
      db.notices.tell(runtimeChannel, row.id)
      const started = claim.start_outcome === null ? undefined : startedOf(claim, claim.start_outcome, row)
      return { row, created: true, allowance: allowanceOf(claim), started }
    }
    case 'over-limit':
      throw new CreatesExceeded(allowanceOf(claim) ?? { limit: 0, remaining: 0, resetSeconds: 60, isOver: true })
    case 'hash-taken':
      throw new OwnerHashTaken(`another owner's runtime has the hash ${ownerHash}`)
    default:
      // The row that was in the way is gone by now: the caller asks again.
      return undefined
  }
}

type Claim = OnHost & {
  outcome: 'created' | 'found' | 'over-limit' | 'hash-taken' | 'gone'
  claimed: Raw | null
  create_limit: number | null
  create_count: number | null
  create_left: number | null
  start_outcome: StartOutcome | null
}

const callCreate = callerOf<Claim>(functions.create, 18)

const allowanceOf = ({ create_limit, create_count, create_left }: Claim): Allowance | undefined =>
  create_limit === null || create_count === null || create_left === null
    ? undefined
    : {
        limit: create_limit,
        remaining: Math.max(0, create_limit - create_count),
        resetSeconds: Math.max(1, create_left),
        isOver: create_count > create_limit,
      }

export type Move = {
  to: RuntimeState
  /** Where it may come from; default: every source of `to`. */
  from?: readonly RuntimeState[]
  /** Written with the move. `workUntil` defaults to null: nobody has to move it on. */
  set?: { [K in keyof RuntimeRow]?: RuntimeRow[K] | SQL }
  reason?: string
  data?: EventData
  /** What else must still be as the caller saw it. */
  provided?: SQL
}

/**
 * Moves a runtime, if it is still where the caller saw it: one guarded update on (id, generation, state) and its event,
 * in one statement. @returns the new row; undefined when somebody else was faster.
 */
export const move = async (
  db: Tx,
  seen: Pick<RuntimeRow, 'id' | 'generation' | 'state' | 'reserved' | 'counted'>,
  { to, from = sourcesOf(to), set = {}, reason, data = {}, provided }: Move,
): Promise<RuntimeRow | undefined> => {
  if (!from.includes(seen.state)) return undefined
  // Only its host knows when one that runs was used last, and whoever ends it for want of use has asked. After that nobody does:
  // what is not known counts as used now.
  const isUnasked = seen.state === 'running' && to !== 'running' && reason !== 'idle'
  const used = set.lastUsedAt !== undefined || isUnasked ? { lastUsedAt: usedNow } : undefined
  const moved = db
    .update(runtimes)
    .set({ ...atRest, ...set, ...used, state: to, stateAt: sql`now()`, idleAt: lookAtIn(to, used?.lastUsedAt) })
    .where(
      and(
        eq(runtimes.id, seen.id),
        eq(runtimes.generation, seen.generation),
        eq(runtimes.state, seen.state),
        // What the row holds on its host is part of what was seen: releases are counted from it.
        eq(runtimes.reserved, seen.reserved),
        eq(runtimes.counted, seen.counted),
        provided,
      ),
    )
  const [raw] = await db.executeKept<Raw>(sql`
    with moved as (${moved.getSQL()} returning ${ofRuntime}), told as (
      insert into ${events} (tenant, runtime_id, type, generation, from_state, to_state, reason, data)
      select tenant, id, ${`runtime.${to}`}, generation, ${seen.state}, state, ${reason ?? null},
        ${JSON.stringify(data)}::text::jsonb
      from moved
    )
    select ${ofRuntime} from moved`)
  if (!raw) return undefined
  db.notices.tell(runtimeChannel, seen.id)
  return decodeRuntime(raw)
}

/** Nobody works on it, and it waits for nothing. */
const atRest = { workUntil: null, workTries: 0, lineSince: null, lineUntil: null, lineFor: null, waitUntil: null }

/** Frees what a runtime held: the tenant's row first, the host's second, as everywhere. */
export const giveBack = async (tx: Tx, row: RuntimeRow, hostId: string) => {
  await returnQuota(tx, row.tenant, needOf(row), row.counted)
  await release(tx, hostId, needOf(row))
  announceRoom(tx)
}

/** The move to `to` that also gives back what the runtime held on its host. Only once the host has let go of it. */
export const moveAndRelease = (
  db: Tx,
  seen: RuntimeRow,
  step: Move,
  also: (tx: Tx, row: RuntimeRow) => Promise<void> = async () => {},
) =>
  db.transaction(async tx => {
    const row = await move(tx, seen, { ...step, set: { ...step.set, reserved: false, counted: false } })
    if (!row) return undefined
    if (seen.reserved && seen.hostId) await giveBack(tx, seen, seen.hostId)
    await also(tx, row)
    return row
  })

const ofOwnersProfile = (owner: Pick<RuntimeRow, 'tenant' | 'mode' | 'owner'>) =>
  and(eq(profiles.tenant, owner.tenant), eq(profiles.mode, owner.mode), eq(profiles.owner, owner.owner))

/**
 * A profile is gone: what is of it on any host but these is to be removed. Left there, it would be taken for the owner's
 * next profile. It may be on two, the one it was being copied to as well.
 */
export const dueRemovals = async (
  tx: Tx,
  { tenant, ownerHash, hostId, movingTo }: ProfileRow,
  removedOn: ReadonlySet<string> = new Set(),
): Promise<void> => {
  for (const place of new Set([hostId, movingTo]))
    if (place !== null && !removedOn.has(place))
      await tx.insert(volumeRemovals).values({ id: `vr_${newId()}`, hostId: place, tenant, ownerHash })
}

/** What came of putting a runtime on a host, and what is reserved there now where something was taken. */
export type Started = {
  outcome: RuntimeRow | 'full' | 'behind' | 'moving' | 'over-quota' | undefined
  reserved?: Pick<HostRow, 'reservedMemoryBytes' | 'reservedCpuMillis' | 'reservedSlots' | 'reservedGpus'> | undefined
}

type StartOutcome = 'started' | 'moved' | 'full' | 'behind' | 'moving' | 'over-quota'

/** What is reserved on the host now; null where nothing was taken of it. */
type OnHost = {
  host_memory_bytes: number | null
  host_cpu_millis: number | null
  host_slots: number | null
  host_gpus: number | null
}

type RawStart = OnHost & { outcome: StartOutcome; started: Raw | null }

const callStart = callerOf<RawStart>(functions.start, 11)

const startedOf = (raw: OnHost, outcome: StartOutcome, row: RuntimeRow): Started => {
  if (outcome === 'moved') return { outcome: undefined }
  if (outcome !== 'started') return { outcome }
  return {
    outcome: row,
    reserved:
      raw.host_memory_bytes === null
        ? undefined
        : {
            reservedMemoryBytes: raw.host_memory_bytes,
            reservedCpuMillis: raw.host_cpu_millis ?? 0,
            reservedSlots: raw.host_slots ?? 0,
            reservedGpus: raw.host_gpus ?? 0,
          },
  }
}

/**
 * Puts a runtime on a host in one transaction: a new generation, `starting`, the host's capacity reserved, and the
 * profile's home remembered.
 *
 * @returns as its outcome the row; `'full'` when the host has no room, is not live or not for it, `'behind'` when it is others' turn to
 *   have it, `'over-quota'` when the tenant has none, `'moving'` while the profile is copied to another host, or has been;
 *   undefined when the runtime was moved by somebody else.
 */
export const tryStartOn = async (db: Db, seen: RuntimeRow, hostId: string, leaseMs: number): Promise<Started> => {
  if (seen.reserved && seen.hostId !== hostId) throw new Error(`${seen.id} still holds capacity on ${seen.hostId}`)
  if (!sourcesOf('starting').includes(seen.state)) return { outcome: undefined }
  // What it does: functions/start.sql.
  const raw = await callStart(db.$client, [
    ...[seen.id, seen.generation, seen.state, seen.reserved, seen.counted],
    ...[seen.lineFor, seen.lineSince?.toISOString() ?? null],
    ...[hostId, leaseMs, unreachableAfterSeconds, `pf_${newId()}`],
  ])
  if (!raw) return { outcome: undefined }
  if (raw.outcome === 'started') db.notices.tell(runtimeChannel, seen.id)
  return startedOf(raw, raw.outcome, decodeRuntime(raw.started ?? {}))
}

/** As `tryStartOn`, of which it returns the outcome alone. */
export const startOn = async (db: Db, seen: RuntimeRow, hostId: string, leaseMs: number): Promise<Started['outcome']> =>
  (await tryStartOn(db, seen, hostId, leaseMs)).outcome

/**
 * A host has refused a start before it made anything: the runtime gives up its room there, and is to be placed anew. Its
 * profile goes along unless it has been on that host before this start.
 *
 * @returns undefined when it was moved meanwhile, or has to stay because of its profile
 */
export const toPlaceAnew = (db: Db, seen: RuntimeRow, leaseMs: number): Promise<RuntimeRow | undefined> =>
  db.transaction(async tx => {
    const [profile] = await tx
      .select({ isNew: sql<boolean>`${profiles.createdAt} = ${profiles.lastUsedAt}`, id: profiles.id })
      .from(profiles)
      .where(and(eq(profiles.tenant, seen.tenant), eq(profiles.mode, seen.mode), eq(profiles.owner, seen.owner)))
    if (profile && !profile.isNew) return undefined
    const row = await moveAndRelease(tx, seen, {
      to: 'pending',
      from: ['starting'],
      set: { workUntil: inMs(leaseMs), waitUntil: seen.waitUntil },
      reason: 'refused by its host',
    })
    if (row && profile) await tx.delete(profiles).where(eq(profiles.id, profile.id))
    return row
  })

export const toRunning = async (db: Db, seen: RuntimeRow, data: EventData = {}): Promise<RuntimeRow | undefined> => {
  if (seen.state !== 'starting') return undefined
  // What it does: functions/run.sql.
  const ran = await callRun(db.$client, [seen.id, seen.generation, seen.reserved, seen.counted, JSON.stringify(data)])
  if (!ran) return undefined
  db.notices.tell(runtimeChannel, seen.id)
  return decodeRuntime(ran)
}

const callRun = callerOf<Raw>(functions.run, 5)

/** `failed`, with the host known to have let go: the capacity is free again. */
export const toFailedAndFree = (db: Db, seen: RuntimeRow, error: RuntimeError) =>
  moveAndRelease(db, seen, { to: 'failed', set: { error }, reason: error.code })

/** `failed` while its container may still be there: the reservation stays until the host confirms its removal. */
export const toFailedStillHeld = (db: Db, seen: RuntimeRow, error: RuntimeError) =>
  move(db, seen, { to: 'failed', set: { error, workUntil: sql`now()` }, reason: error.code })

/** @param provided what else must still be as the caller saw it, here and below */
export const toStopping = (
  db: Db,
  seen: RuntimeRow,
  leaseMs: number,
  reason: string,
  { provided }: Pick<Move, 'provided'> = {},
) => move(db, seen, { to: 'stopping', set: { workUntil: inMs(leaseMs) }, reason, ...(provided && { provided }) })

export const toStopped = (db: Db, seen: RuntimeRow) => moveAndRelease(db, seen, { to: 'stopped' })

/** Asks for deletion; the volume goes too once anybody asked for that. */
export const toDeleting = (
  db: Db,
  seen: RuntimeRow,
  removeVolume: boolean,
  leaseMs: number,
  because: Pick<Move, 'reason' | 'provided'> = {},
) => move(db, seen, { to: 'deleting', set: { removeVolume, workUntil: inMs(leaseMs) }, ...because })

/** Deletion asked again, now with the volume. */
export const alsoRemoveVolume = async (db: Db, id: string): Promise<void> => {
  await db
    .update(runtimes)
    .set({ removeVolume: true })
    .where(and(eq(runtimes.id, id), eq(runtimes.state, 'deleting')))
}

/**
 * The end: no container, no reservation, and where the volume went, no profile. No move when the volume was asked for
 * only after the host had been told to keep it.
 *
 * @param removedOn hosts that have let go of the volume; absent: the runtime's own
 */
export const toDeleted = (
  db: Db,
  seen: RuntimeRow,
  removedOn: ReadonlySet<string> = new Set(seen.hostId === null ? [] : [seen.hostId]),
) =>
  moveAndRelease(
    db,
    seen,
    {
      to: 'deleted',
      set: { deletedAt: sql`now()` },
      provided: eq(runtimes.removeVolume, seen.removeVolume),
    },
    async (tx, row) => {
      if (!row.removeVolume) return
      const [profile] = await tx.delete(profiles).where(ofOwnersProfile(row)).returning()
      if (profile) await dueRemovals(tx, profile, removedOn)
    },
  )

/** The runtime as it was seen, still holding what it held. */
export const reservedOf = (seen: Pick<RuntimeRow, 'id' | 'generation' | 'state'>) =>
  and(
    eq(runtimes.id, seen.id),
    eq(runtimes.generation, seen.generation),
    eq(runtimes.state, seen.state),
    eq(runtimes.reserved, true),
  )

/** A failed runtime's host has confirmed that nothing is left there. */
export const freeReservation = (db: Db, seen: RuntimeRow): Promise<boolean> =>
  db.transaction(async tx => {
    // What it held is read from before the update: `counted` is given back as it was.
    const [held] = await tx.select().from(runtimes).where(eq(runtimes.id, seen.id)).for('update')
    const [row] = await tx
      .update(runtimes)
      .set({ reserved: false, counted: false, workUntil: null, workTries: 0 })
      .where(reservedOf(seen))
      .returning()
    if (!row?.hostId || !held) return false
    await giveBack(tx, held, row.hostId)
    return true
  })

/** Nothing of it is on a host but its profile, once it holds nothing. */
const atRestStates: RuntimeState[] = ['stopped', 'failed']

/**
 * Ends what was on hosts that were removed: `lost`, or `deleted` where that was asked for, with nothing held any more. A
 * gateway that dies half-way leaves the rest to the next one that looks.
 *
 * @returns how many were ended
 */
export const loseRuntimesOfRemoved = async (db: Db, limit = 1000): Promise<number> => {
  const left = await db
    .select({ row: runtimes })
    .from(runtimes)
    .innerJoin(hosts, eq(hosts.id, runtimes.hostId))
    .where(
      and(
        isNotNull(hosts.removedAt),
        isNotDeleted,
        or(
          eq(runtimes.reserved, true),
          // One that holds nothing there and waits for room will have another host.
          notInArray(runtimes.state, ['lost', 'pending', ...atRestStates]),
          // What is at rest has lost nothing with the host, unless its profile was there too.
          and(
            inArray(runtimes.state, atRestStates),
            sql`not exists (
              select 1 from ${profiles} where ${profiles.tenant} = ${runtimes.tenant}
                and ${profiles.mode} = ${runtimes.mode} and ${profiles.owner} = ${runtimes.owner}
            )`,
          ),
        ),
      ),
    )
    .limit(limit)
  const reason = 'its host was removed'
  let ended = 0
  for (const { row } of left) {
    const error = { code: 'host-removed', detail: reason }
    const moved = await (row.state === 'deleting'
      ? toDeleted(db, row)
      : row.state === 'pending'
        ? toFailedAndFree(db, row, error)
        : row.state === 'lost'
          ? freeReservation(db, row)
          : moveAndRelease(db, row, { to: 'lost', set: { error }, reason }))
    if (moved) ended++
  }
  return ended
}

/** Rows whose mover has gone quiet: taken over for `leaseMs`, each by one gateway only. */
export const takeWork = (db: Db, leaseMs: number, limit: number): Promise<RuntimeRow[]> =>
  db
    .update(runtimes)
    .set({ workUntil: inMs(leaseMs), workTries: sql`${runtimes.workTries} + 1` })
    .where(
      inArray(
        runtimes.id,
        db
          .select({ id: runtimes.id })
          .from(runtimes)
          .where(and(isNotNull(runtimes.workUntil), lt(runtimes.workUntil, sql`now()`)))
          .orderBy(runtimes.workUntil)
          .limit(limit)
          .for('update', { skipLocked: true }),
      ),
    )
    .returning()

/** Keeps, or puts off, the work on a row that has not moved since. */
export const leaseWork = async (
  db: Db,
  seen: Pick<RuntimeRow, 'id' | 'generation' | 'state'>,
  ms: number,
): Promise<void> => {
  await db
    .update(runtimes)
    .set({ workUntil: inMs(ms) })
    .where(
      and(
        eq(runtimes.id, seen.id),
        eq(runtimes.generation, seen.generation),
        eq(runtimes.state, seen.state),
        // Work that was finished meanwhile is not begun again.
        isNotNull(runtimes.workUntil),
      ),
    )
}

/** Counts as use, for idle time. @returns the runtime as it is then; undefined when it is deleted, or being so */
export const touch = async (db: Db, id: string): Promise<RuntimeRow | undefined> =>
  (
    await db
      .update(runtimes)
      .set({ lastUsedAt: usedNow })
      .where(and(eq(runtimes.id, id), notInArray(runtimes.state, ['deleting', 'deleted'])))
      .returning()
  )[0]

/** As `touch`, for many at once. */
export const touchAll = async (db: Db, ids: string[]): Promise<void> => {
  if (ids.length === 0) return
  // Always in one order: two gateways that write the same ones do not wait for each other in a circle.
  const inOrder = db.select({ id: runtimes.id }).from(runtimes).where(isAnyOf(runtimes.id, ids)).orderBy(runtimes.id)
  await db
    .update(runtimes)
    .set({ lastUsedAt: usedNow })
    .where(inArray(runtimes.id, inOrder.for('update')))
}

export const findRuntimeById = async (db: Tx, id: string): Promise<RuntimeRow | undefined> =>
  (await db.select().from(runtimes).where(eq(runtimes.id, id)))[0]

/** The owner's runtime that is not deleted. */
export const findLive = async (
  db: Tx,
  owner: Pick<RuntimeRow, 'tenant' | 'mode' | 'owner'>,
): Promise<RuntimeRow | undefined> =>
  (
    await db
      .select()
      .from(runtimes)
      .where(and(ofOwner(owner), isNotDeleted))
  )[0]

/** A runtime of this tenant; another tenant's is undefined, as one that does not exist. */
export const findRuntime = async (db: Tx, tenant: string, id: string): Promise<RuntimeRow | undefined> =>
  (
    await db
      .select()
      .from(runtimes)
      .where(and(eq(runtimes.id, id), eq(runtimes.tenant, tenant)))
  )[0]

/** The tenant's newest runtime with that hash: the live one if there is one. */
export const findByHash = async (db: Tx, tenant: string, ownerHash: string): Promise<RuntimeRow | undefined> =>
  (
    await db
      .select()
      .from(runtimes)
      .where(and(eq(runtimes.ownerHash, ownerHash), eq(runtimes.tenant, tenant)))
      .orderBy(sql`${runtimes.state} = 'deleted'`, desc(runtimes.id))
      .limit(1)
  )[0]

export type RuntimeFilter = {
  state?: RuntimeState[] | undefined
  owner?: string | undefined
  mode?: string | undefined
  spec?: string | undefined
  labels?: Record<string, string> | undefined
}

/** Of a single state the index gives them in order; of a list of one it does not. */
const isOneOf = (states: RuntimeState[] | undefined): SQL | undefined => {
  const [only, ...others] = states ?? []
  if (only !== undefined && others.length === 0) return eq(runtimes.state, only)
  return states && inArray(runtimes.state, states)
}

/** A keyset page of a tenant's runtimes, newest first; deleted ones only when asked for by state. */
export const listRuntimes = (
  db: Tx,
  tenant: string,
  filter: RuntimeFilter,
  page: { limit: number; before?: string | undefined },
): Promise<RuntimeRow[]> =>
  db
    .select()
    .from(runtimes)
    .where(
      and(
        eq(runtimes.tenant, tenant),
        isOneOf(filter.state),
        // Said also where it follows from the states: Postgres uses the index of live ones only then.
        filter.state?.includes('deleted') ? undefined : isNotDeleted,
        filter.owner === undefined ? undefined : eq(runtimes.owner, filter.owner),
        filter.mode === undefined ? undefined : eq(runtimes.mode, filter.mode),
        filter.spec === undefined ? undefined : eq(runtimes.spec, filter.spec),
        filter.labels === undefined
          ? undefined
          : sql`${runtimes.labels} @> ${JSON.stringify(filter.labels)}::text::jsonb`,
        page.before === undefined ? undefined : lt(runtimes.id, page.before),
      ),
    )
    .orderBy(desc(runtimes.id))
    .limit(page.limit)

/** A host's rows that are not deleted, for comparing with what the host says it has. */
export const listRuntimesOnHost = (db: Tx, hostId: string): Promise<RuntimeRow[]> =>
  db
    .select()
    .from(runtimes)
    .where(and(eq(runtimes.hostId, hostId), isNotDeleted))

/** What has happened to a runtime since it is its tenant's: before, it may have been warm and nobody's. */
export const listEvents = (
  db: Tx,
  { id, tenant }: Pick<RuntimeRow, 'id' | 'tenant'>,
  after: number,
  limit: number,
): Promise<EventRow[]> =>
  db
    .select()
    .from(events)
    .where(and(eq(events.runtimeId, id), eq(events.tenant, tenant), sql`${events.seq} > ${after}`))
    .orderBy(events.seq)
    .limit(limit)

/** Where several runtimes are now. */
export const listRuntimeStates = (db: Tx, ids: string[]): Promise<Pick<RuntimeRow, 'id' | 'state' | 'generation'>[]> =>
  db
    .select({ id: runtimes.id, state: runtimes.state, generation: runtimes.generation })
    .from(runtimes)
    .where(isAnyOf(runtimes.id, ids))
