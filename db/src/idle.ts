import { and, eq, notInArray, type SQL, sql } from 'drizzle-orm'
import type { Db } from './connect.ts'
import { runtimeChannel } from './notices.ts'
import { columnsOf, decodeRuntime, type Raw } from './raw.ts'
import { events, type RuntimeRow, runtimes } from './schema.ts'
import type { IdlePolicy, RuntimeState } from './states.ts'

/** How a runtime ends by itself: what becomes of it, why, and when. */
export type Deadline = { action: 'pause' | 'stop' | 'delete'; reason: 'idle' | 'max-age'; at: Date }

type IdleStep = Exclude<keyof IdlePolicy, 'maxAge'>

const actionOf = { pauseAfter: 'pause', stopAfter: 'stop', deleteAfter: 'delete' } as const

/** What one that nobody uses comes to, by its state. Those that are on their way somewhere get there first. */
const stepsOf: Partial<Record<RuntimeState, readonly IdleStep[]>> = {
  running: ['pauseAfter', 'stopAfter', 'deleteAfter'],
  paused: ['stopAfter', 'deleteAfter'],
  stopped: ['deleteAfter'],
  failed: ['deleteAfter'],
  lost: ['deleteAfter'],
}

const isOver = (state: RuntimeState) => state === 'deleting' || state === 'deleted'

/**
 * Seconds before the end that a warning is due at most, and before an end that comes soon half of the time: a minute, and what
 * those who look take until they have written it.
 */
const warningSeconds = 63

type Aging = Pick<RuntimeRow, 'state' | 'idle' | 'createdAt' | 'lastUsedAt'>

const secondsAfter = (at: Date, seconds: number) => new Date(at.getTime() + seconds * 1000)

/** What comes next by itself if nobody uses the runtime, and when to warn of it; undefined: nothing does. */
export const nextDeadline = ({
  state,
  idle,
  createdAt,
  lastUsedAt,
}: Aging): (Deadline & { warnAt: Date }) | undefined => {
  if (isOver(state)) return undefined
  const ends: (Deadline & { warnAt: Date })[] = []
  const add = (from: Date, seconds: number | undefined, action: Deadline['action'], reason: Deadline['reason']) => {
    if (seconds === undefined) return
    const lead = Math.min(warningSeconds, seconds / 2)
    ends.push({ action, reason, at: secondsAfter(from, seconds), warnAt: secondsAfter(from, seconds - lead) })
  }
  for (const step of stepsOf[state] ?? []) add(lastUsedAt, idle[step], actionOf[step], 'idle')
  add(createdAt, idle.maxAge, 'delete', 'max-age')
  return ends.sort((a, b) => a.at.getTime() - b.at.getTime())[0]
}

/**
 * When to look at a runtime that comes to `to`: no later than its next warning. Null: never.
 *
 * @param lastUsedAt as it is written with the move; absent: it stays
 */
export const lookAtIn = (to: RuntimeState, lastUsedAt: SQL = sql`${runtimes.lastUsedAt}`): SQL => {
  if (isOver(to)) return sql`null`
  const before = (from: SQL, key: keyof IdlePolicy) => {
    const seconds = sql`(${runtimes.idle} ->> ${sql.raw(`'${key}'`)})::float8`
    return sql`${from} + make_interval(secs => ${seconds} - least(${sql.raw(String(warningSeconds))}, ${seconds} / 2))`
  }
  const looks = [
    before(sql`${runtimes.createdAt}`, 'maxAge'),
    ...(stepsOf[to] ?? []).map(step => before(lastUsedAt, step)),
  ]
  // The earliest that there is: `least` leaves nulls out.
  return sql`least(${sql.join(looks, sql`, `)})`
}

/** A runtime, and what time it was for the database when it was read. */
export type Read = { row: RuntimeRow; now: Date }

const readOf = (raw: Raw | undefined): Read | undefined =>
  raw && { row: decodeRuntime(raw), now: new Date(String(raw.read_at)) }

const readAt = sql.raw(`to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as read_at`)
const ofRuntime = columnsOf()

/** Milliseconds, rounded up: a date has no parts of them, and the database's times do. */
const justAfter = (at: Date) => new Date(at.getTime() + 1)

/** The runtime as it was seen, not used since, and with the same rules. */
export const isAsUnused = (seen: Aging & Pick<RuntimeRow, 'id' | 'generation'>): SQL | undefined =>
  and(
    eq(runtimes.id, seen.id),
    eq(runtimes.generation, seen.generation),
    eq(runtimes.state, seen.state),
    sql`${runtimes.lastUsedAt} < ${justAfter(seen.lastUsedAt).toISOString()}::timestamptz`,
    sql`${runtimes.idle} = ${JSON.stringify(seen.idle)}::text::jsonb`,
  )

/**
 * Takes runtimes that are to be looked at, the longest due first, each for one gateway: the next may look at it after `ms`.
 */
export const takeIdle = async (db: Db, ms: number, limit: number): Promise<Read[]> => {
  const raws = await db.executeKept<Raw>(sql`
    update ${runtimes} set idle_at = now() + make_interval(secs => ${ms / 1000})
    where id in (
      select id from ${runtimes} where idle_at <= now() order by idle_at limit ${limit} for update skip locked
    )
    returning ${ofRuntime}, ${readAt}`)
  return raws.flatMap(raw => readOf(raw) ?? [])
}

/** Puts the next look at a runtime off, unless it was moved meanwhile. @param at null: never, for what can be told now */
export const lookAgainAt = async (
  db: Db,
  seen: Pick<RuntimeRow, 'id' | 'generation' | 'state'>,
  at: Date | null,
): Promise<void> => {
  await db
    .update(runtimes)
    .set({ idleAt: at && justAfter(at) })
    .where(and(eq(runtimes.id, seen.id), eq(runtimes.generation, seen.generation), eq(runtimes.state, seen.state)))
}

/** A container may say anything; this is longer than any rule. */
const longestMs = 10 * 366 * 86_400_000

/**
 * Notes what a host has said: how many milliseconds ago a runtime was last used there. It counts where the row does not know of
 * anything later.
 *
 * @returns the runtime as it is then; undefined when it was moved meanwhile
 */
export const noteUnused = async (
  db: Db,
  seen: Pick<RuntimeRow, 'id' | 'generation' | 'state'>,
  unusedMs: number,
): Promise<Read | undefined> => {
  const [raw] = await db.executeKept<Raw>(sql`
    update ${runtimes}
    set last_used_at = greatest(last_used_at, now() - make_interval(secs => ${Math.min(unusedMs, longestMs) / 1000}))
    where id = ${seen.id} and generation = ${seen.generation} and state = ${seen.state}
    returning ${ofRuntime}, ${readAt}`)
  return readOf(raw)
}

/** Milliseconds that an end may have moved since its warning: hosts and gateways do not tell of one use to the same millisecond. */
const sameMs = 2000

/** Whether its owner has been warned of an end. Use moves the end, and so asks for another warning. */
export const isWarnedOf = ({ warnedFor }: Pick<RuntimeRow, 'warnedFor'>, { at }: Pick<Deadline, 'at'>): boolean =>
  warnedFor !== null && Math.abs(at.getTime() - warnedFor.getTime()) <= sameMs

/** Writes the warning of an end as an event, once, and looks again at that end. @returns false when it was used meanwhile */
export const warnOf = async (db: Db, seen: RuntimeRow, { action, reason, at }: Deadline): Promise<boolean> => {
  const warned = db
    .update(runtimes)
    .set({ warnedFor: at, idleAt: justAfter(at) })
    .where(isAsUnused(seen))
  const told = await db.execute(sql`
    with warned as (${warned.getSQL()} returning ${ofRuntime})
    insert into ${events} (tenant, runtime_id, type, generation, from_state, to_state, reason, data)
    select tenant, id, 'runtime.expiring', generation, state, state, ${reason},
      ${JSON.stringify({ action, at: at.toISOString() })}::text::jsonb
    from warned returning seq`)
  if (told.length === 0) return false
  db.notices.tell(runtimeChannel, seen.id)
  return true
}

/** Changes the rules of a runtime that is there, which counts as use: it does not end by them before it was told. */
export const setIdle = async (db: Db, id: string, idle: IdlePolicy): Promise<void> => {
  await db
    .update(runtimes)
    // What is due by the new rules is found by looking.
    .set({ idle, idleAt: sql`now()`, lastUsedAt: sql`now()` })
    .where(
      and(
        eq(runtimes.id, id),
        notInArray(runtimes.state, ['deleting', 'deleted']),
        sql`${runtimes.idle} <> ${JSON.stringify(idle)}::text::jsonb`,
      ),
    )
}
