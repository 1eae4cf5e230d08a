import { and, eq, inArray, isNull, ne, or, sql } from 'drizzle-orm'
import { ulid } from 'ulid'
import type { Db, Tx } from './connect.ts'
import { lostAfterSeconds, reserveAgain, unreachableAfterSeconds } from './hosts.ts'
import { isAnyOf } from './raw.ts'
import { giveBack, inMs, move, moveAndRelease, needOf, reservedOf } from './runtimes.ts'
import { events, hosts, profiles, type RuntimeRow, runtimes, volumeRemovals } from './schema.ts'
import { takeQuotaAgain } from './tenants.ts'

/** A host that has been silent for longer has no part in "many at once". */
const recentSeconds = 3 * lostAfterSeconds

const isSilentFor = (seconds: number) => sql`${hosts.lastSeenAt} < now() - make_interval(secs => ${seconds})`

/** How many hosts there have been lately, how many of them are silent, and on how many runtimes are to be declared lost. */
export type Silence = { recent: number; silent: number; due: number }

/** Judged by the database's clock alone. */
export const measureSilence = async (db: Tx): Promise<Silence> => {
  const isRecent = sql`not (${isSilentFor(recentSeconds)})`
  const [row] = await db
    .select({
      recent: sql<number>`count(*) filter (where ${isRecent})::int`,
      silent: sql<number>`count(*) filter (where ${isRecent} and ${isSilentFor(unreachableAfterSeconds)})::int`,
      due: sql<number>`count(*) filter (where ${isSilentFor(lostAfterSeconds)} and ${hosts.reservedSlots} > 0)::int`,
    })
    .from(hosts)
    .where(isNull(hosts.removedAt))
  return row ?? { recent: 0, silent: 0, due: 0 }
}

/** Its host has not been heard of in the meantime. */
const isStillSilent = ({ hostId }: RuntimeRow) =>
  sql`exists (select 1 from ${hosts} where ${hosts.id} = ${hostId} and ${isSilentFor(lostAfterSeconds)})`

/** Frees what a runtime holds on a host that is lost, and leaves it where it is: it is still to be deleted, or failed. */
const releaseInPlace = (db: Db, seen: RuntimeRow): Promise<boolean> =>
  db.transaction(async tx => {
    const [row] = await tx
      .update(runtimes)
      // A deletion is still to be carried out; of a failed start nothing is left to do.
      .set({ reserved: false, counted: false, ...(seen.state === 'failed' ? { workUntil: null, workTries: 0 } : {}) })
      .where(and(reservedOf(seen), isStillSilent(seen)))
      .returning({ id: runtimes.id })
    if (!row || !seen.hostId) return false
    await giveBack(tx, seen, seen.hostId)
    return true
  })

const mayBeLost: readonly string[] = ['starting', 'running', 'paused', 'stopping']

/**
 * Declares the runtimes on hosts that have been silent for a minute lost, and frees what they held there. Any number of
 * gateways may do it at once.
 *
 * @returns the runtimes that are lost now
 */
export const loseRuntimesOfSilent = async (db: Db, limit = 1000): Promise<RuntimeRow[]> => {
  const left = await db
    .select({ row: runtimes })
    .from(runtimes)
    .innerJoin(hosts, eq(hosts.id, runtimes.hostId))
    .where(
      and(
        isNull(hosts.removedAt),
        isSilentFor(lostAfterSeconds),
        eq(runtimes.reserved, true),
        ne(runtimes.state, 'deleted'),
      ),
    )
    .limit(limit)
  const lost: RuntimeRow[] = []
  let failure: unknown
  for (const { row } of left) {
    try {
      const moved = await loseOne(db, row)
      if (moved) lost.push(moved)
    } catch (error) {
      // One that cannot be moved just now holds up nobody else.
      failure = error
    }
  }
  if (failure !== undefined && lost.length === 0) throw failure
  return lost
}

const loseOne = async (db: Db, row: RuntimeRow): Promise<RuntimeRow | undefined> => {
  if (!mayBeLost.includes(row.state)) {
    await releaseInPlace(db, row)
    return undefined
  }
  const error = { code: 'host-lost', detail: `its host has been silent for ${lostAfterSeconds} s or more` }
  return moveAndRelease(db, row, {
    to: 'lost',
    set: { error },
    reason: error.code,
    provided: isStillSilent(row),
  })
}

/** A container that is back has its volume with it, whatever was decided about that while its host was away. */
const keepProfile = async (tx: Tx, { tenant, mode, owner, ownerHash }: RuntimeRow, hostId: string) => {
  await tx.delete(volumeRemovals).where(and(eq(volumeRemovals.hostId, hostId), eq(volumeRemovals.ownerHash, ownerHash)))
  await tx
    .insert(profiles)
    .values({ id: `pf_${ulid()}`, tenant, mode, owner, ownerHash, hostId })
    .onConflictDoNothing()
}

/** Whether a lost runtime was being stopped when its host went silent. Its events are what is left to tell. */
const wasStopping = async (tx: Tx, { id, generation }: RuntimeRow): Promise<boolean> =>
  (await tx.$count(
    events,
    and(
      eq(events.runtimeId, id),
      eq(events.generation, generation),
      eq(events.fromState, 'stopping'),
      eq(events.toState, 'lost'),
    ),
  )) > 0

/** Thrown inside `toFound` to undo it. */
class NoRoomLeft extends Error {}

/**
 * A lost runtime's host is back with just that generation: it runs on, if what it holds still fits.
 *
 * @returns `'no-room'` when its tenant or its host has given that room to others, `'unwanted'` when it was to stop before
 *   it was lost
 */
export const toFound = async (
  db: Db,
  seen: RuntimeRow,
  state: 'running' | 'paused',
): Promise<RuntimeRow | 'no-room' | 'unwanted' | undefined> => {
  if (await wasStopping(db, seen)) return 'unwanted'
  try {
    return await db.transaction(async tx => {
      const isRunning = state === 'running'
      const row = await move(tx, seen, {
        to: 'running',
        from: ['lost'],
        // One that was frozen goes on: its host is told so.
        set: { error: null, reserved: true, counted: true, workUntil: isRunning ? null : inMs(0) },
        reason: 'its host is back',
      })
      if (!row?.hostId) return row
      // It is there already: those in line for room do not come before it.
      if (!(await takeQuotaAgain(tx, seen, needOf(seen)))) throw new NoRoomLeft()
      if (!(await reserveAgain(tx, row.hostId, needOf(seen)))) throw new NoRoomLeft()
      await keepProfile(tx, row, row.hostId)
      return row
    })
  } catch (error) {
    if (error instanceof NoRoomLeft) return 'no-room'
    throw error
  }
}

/** What a host says it has, and what it should have: rows of those ids, and all rows that should be there. */
export const listForReconciling = (db: Tx, hostId: string, ids: string[]): Promise<RuntimeRow[]> =>
  db
    .select()
    .from(runtimes)
    .where(
      or(
        and(eq(runtimes.hostId, hostId), inArray(runtimes.state, ['running', 'paused', 'lost'])),
        ids.length === 0 ? undefined : isAnyOf(runtimes.id, ids),
      ),
    )

/** Has the driver look at a runtime that its host has in another state than its row. */
export const recheck = async (db: Db, seen: Pick<RuntimeRow, 'id' | 'generation' | 'state'>): Promise<void> => {
  await db
    .update(runtimes)
    .set({ workUntil: inMs(0) })
    .where(
      and(
        eq(runtimes.id, seen.id),
        eq(runtimes.generation, seen.generation),
        eq(runtimes.state, seen.state),
        isNull(runtimes.workUntil),
      ),
    )
}

/** Whether a row has been in its state for `ms` by the database's clock: what a host read before that does not count. */
export const listSettledFor = async (db: Tx, ids: string[], ms: number): Promise<Set<string>> => {
  if (ids.length === 0) return new Set()
  const rows = await db
    .select({ id: runtimes.id })
    .from(runtimes)
    .where(and(isAnyOf(runtimes.id, ids), sql`${runtimes.stateAt} < ${inMs(-ms)}`))
  return new Set(rows.map(({ id }) => id))
}
