import { and, eq, isNotNull, ne, sql } from 'drizzle-orm'
import type { Db, Tx } from './connect.ts'
import { runtimeChannel } from './notices.ts'
import { inMs, type Move, move } from './runtimes.ts'
import { type RuntimeRow, runtimes, tenants } from './schema.ts'
import type { LineFor } from './states.ts'
import { announceRoom, countRuntime, returnQuota } from './tenants.ts'

/** Milliseconds for which a runtime runs at least before it makes room for another. */
const settledMs = 10_000

/** Seconds that a place in line outlives whoever stopped keeping it. */
const placeSeconds = 5

type Seen = Pick<RuntimeRow, 'id' | 'generation' | 'state'>

const isAsSeen = ({ id, generation, state }: Seen) =>
  and(eq(runtimes.id, id), eq(runtimes.generation, generation), eq(runtimes.state, state))

/** The line was as long as it may be. */
class LineFull extends Error {}

/**
 * Takes or keeps a runtime's place in its tenant's line for room. To be said again within five seconds, or the place is
 * free for those behind; it is not lost, should its keeper come back.
 *
 * @returns the row with its place; `'full'` when as many wait as may; undefined when somebody moved the runtime
 */
export const standInLine = async (
  db: Db,
  seen: RuntimeRow,
  lineFor: LineFor,
): Promise<RuntimeRow | 'full' | undefined> => {
  try {
    return await db.transaction(async tx => {
      const [row] = await tx
        .update(runtimes)
        .set({
          lineSince: sql`coalesce(${runtimes.lineSince}, clock_timestamp())`,
          lineUntil: inMs(placeSeconds * 1000),
          lineFor,
        })
        .where(isAsSeen(seen))
        .returning()
      if (!row || seen.lineSince !== null) return row
      // Locked, so that two who come at once are counted one after the other.
      const [tenant] = await tx
        .select({ limit: tenants.queueLimit })
        .from(tenants)
        .where(eq(tenants.slug, row.tenant))
        .for('update')
      const inLine = await tx.$count(
        runtimes,
        and(eq(runtimes.tenant, row.tenant), isNotNull(runtimes.lineSince), sql`${runtimes.lineUntil} > now()`),
      )
      if (inLine > (tenant?.limit ?? 0)) throw new LineFull()
      return row
    })
  } catch (error) {
    if (error instanceof LineFull) return 'full'
    throw error
  }
}

/** Gives a place in line up, and lets those behind look: for room on the hosts they may be of any tenant. */
export const leaveLine = async (db: Db, seen: Pick<RuntimeRow, 'id' | 'tenant' | 'lineFor'>): Promise<void> => {
  await db
    .update(runtimes)
    .set({ lineSince: null, lineUntil: null, lineFor: null })
    .where(and(eq(runtimes.id, seen.id), isNotNull(runtimes.lineSince)))
  announceRoom(db, seen.lineFor === 'hosts' ? undefined : seen.tenant)
}

/** Lets a runtime that is to be placed wait for room until `ms` from now, if it was to wait less. */
export const waitForRoom = async (db: Db, seen: Seen, ms: number): Promise<void> => {
  await db
    .update(runtimes)
    .set({ waitUntil: sql`greatest(${runtimes.waitUntil}, ${inMs(ms)})` })
    .where(isAsSeen(seen))
}

/** Milliseconds that a runtime still waits for room, by the database's clock. */
export const waitLeft = async (db: Db, id: string): Promise<number> => {
  const [row] = await db
    .select({ ms: sql<number>`coalesce(extract(epoch from ${runtimes.waitUntil} - now()) * 1000, 0)::float8` })
    .from(runtimes)
    .where(eq(runtimes.id, id))
  return Math.max(0, row?.ms ?? 0)
}

/** A runtime that could not be started at once waits for room: `pending` again, as a new one is. */
export const toPending = (db: Db, seen: RuntimeRow, leaseMs: number, waitMs: number) =>
  move(db, seen, { to: 'pending', set: { workUntil: inMs(leaseMs), waitUntil: inMs(waitMs), error: null } })

/** Frozen: keeps its memory and CPU reserved, and no longer counts as one of its tenant's running runtimes. */
export const toPaused = (
  db: Db,
  seen: RuntimeRow,
  leaseMs: number,
  reason: string,
  { provided }: Pick<Move, 'provided'> = {},
): Promise<RuntimeRow | undefined> =>
  db.transaction(async tx => {
    const set = { counted: false, workUntil: inMs(leaseMs) }
    const row = await move(tx, seen, { to: 'paused', set, reason, ...(provided && { provided }) })
    if (row && seen.counted) await returnQuota(tx, row.tenant, { memoryBytes: 0, cpuMillis: 0 }, true)
    return row
  })

/** Thrown inside a resume to undo it. */
class OverQuota extends Error {}

/**
 * Running again, and counted; its container is yet to be told (`settle`).
 *
 * @returns `'over-quota'` when its tenant has as many running as it may
 */
export const toResumed = async (
  db: Db,
  seen: RuntimeRow,
  leaseMs: number,
): Promise<RuntimeRow | 'over-quota' | undefined> => {
  try {
    return await db.transaction(async tx => {
      const row = await move(tx, seen, {
        to: 'running',
        from: ['paused'],
        set: { counted: true, workUntil: inMs(leaseMs), lastUsedAt: sql`now()` },
        reason: 'resumed',
      })
      if (row && !(await countRuntime(tx, seen))) throw new OverQuota()
      return row
    })
  } catch (error) {
    if (error instanceof OverQuota) return 'over-quota'
    throw error
  }
}

/** The host has done what a pause or a resume asked. @returns false when the runtime was moved meanwhile */
export const settle = async (db: Db, seen: Seen): Promise<boolean> => {
  const [row] = await db
    .update(runtimes)
    .set({ workUntil: null, workTries: 0 })
    .where(isAsSeen(seen))
    .returning({ id: runtimes.id })
  if (row) db.notices.tell(runtimeChannel, row.id)
  return row !== undefined
}

/** The tenant's running runtimes whose pause would make room for `other`, those used longest ago first. */
export const listOldestRunning = (
  db: Tx,
  other: Pick<RuntimeRow, 'id' | 'tenant'>,
  limit: number,
): Promise<RuntimeRow[]> =>
  db
    .select()
    .from(runtimes)
    .where(
      and(
        eq(runtimes.tenant, other.tenant),
        eq(runtimes.state, 'running'),
        eq(runtimes.counted, true),
        ne(runtimes.id, other.id),
        // One that has only just been let go on: two whose users come back each time would freeze each other for ever.
        sql`${runtimes.stateAt} < ${inMs(-settledMs)}`,
      ),
    )
    .orderBy(runtimes.lastUsedAt, runtimes.id)
    .limit(limit)
