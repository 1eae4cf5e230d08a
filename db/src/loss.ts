import { and, eq, inArray, isNull, or, sql } from 'drizzle-orm'
import type { Db, Tx } from './connect.ts'
import { lostAfterSeconds, reserve, unreachableAfterSeconds } from './hosts.ts'
import { giveBack, inMs, move, moveAndRelease, needOf, reservedOf } from './runtimes.ts'
import { hosts, type RuntimeRow, runtimes } from './schema.ts'
import { takeQuota } from './tenants.ts'

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

/** Frees what a runtime holds on a host that is lost, and leaves it where it is: it is still to be deleted, or failed. */
const releaseInPlace = (db: Db, seen: RuntimeRow): Promise<boolean> =>
  db.transaction(async tx => {
    const [row] = await tx
      .update(runtimes)
      .set({ reserved: false, counted: false })
      .where(reservedOf(seen))
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
    .where(and(isNull(hosts.removedAt), isSilentFor(lostAfterSeconds), eq(runtimes.reserved, true)))
    .limit(limit)
  const lost: RuntimeRow[] = []
  for (const { row } of left) {
    if (!mayBeLost.includes(row.state)) await releaseInPlace(db, row)
    else {
      const error = { code: 'host-lost', detail: `its host has been silent for ${lostAfterSeconds} s or more` }
      const moved = await moveAndRelease(db, row, {
        to: 'lost',
        set: { error },
        reason: error.code,
        provided: sql`exists (select 1 from ${hosts} where ${hosts.id} = ${row.hostId} and ${isSilentFor(lostAfterSeconds)})`,
      })
      if (moved) lost.push(moved)
    }
  }
  return lost
}

/** Thrown inside `toFound` to undo it. */
class NoRoomLeft extends Error {}

/**
 * A lost runtime's host is back with just that generation: it runs on, if what it holds still fits.
 *
 * @returns `'no-room'` when its tenant or its host has given that room to others
 */
export const toFound = async (
  db: Db,
  seen: RuntimeRow,
  state: 'running' | 'paused',
): Promise<RuntimeRow | 'no-room' | undefined> => {
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
      if (!(await takeQuota(tx, seen, needOf(seen)))) throw new NoRoomLeft()
      if (!(await reserve(tx, row.hostId, needOf(seen)))) throw new NoRoomLeft()
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
        ids.length === 0 ? undefined : inArray(runtimes.id, ids),
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
    .where(and(inArray(runtimes.id, ids), sql`${runtimes.stateAt} < ${inMs(-ms)}`))
  return new Set(rows.map(({ id }) => id))
}
