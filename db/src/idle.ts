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

/** Seconds that lie between a warning and its end, and at an end that comes soon half of the time. */
const leadSeconds = 60

type Aging = Pick<RuntimeRow, 'state' | 'idle' | 'createdAt' | 'lastUsedAt'>

/** An end, when to warn of it, and seconds that its owner is to have from a warning that comes late. */
type Due = Deadline & { warnAt: Date; lead: number }

const secondsAfter = (at: Date, seconds: number) => new Date(at.getTime() + seconds * 1000)

/** What its rules come to, each: the soonest first. */
const deadlinesOf = ({ state, idle, createdAt, lastUsedAt }: Aging): Due[] => {
  if (isOver(state)) return []
  const ends: Due[] = []
  const add = (from: Date, seconds: number | undefined, action: Deadline['action'], reason: Deadline['reason']) => {
    if (seconds === undefined) return
    const warnAt = secondsAfter(from, seconds - Math.min(warningSeconds, seconds / 2))
    ends.push({ action, reason, at: secondsAfter(from, seconds), warnAt, lead: Math.min(leadSeconds, seconds / 2) })
  }
  for (const step of stepsOf[state] ?? []) add(lastUsedAt, idle[step], actionOf[step], 'idle')
  add(createdAt, idle.maxAge, 'delete', 'max-age')
  return ends.sort((a, b) => a.at.getTime() - b.at.getTime())
}

/** What comes next by itself if nobody uses the runtime, by its rules, and when to warn of it; undefined: nothing does. */
export const nextDeadline = (row: Aging): Due | undefined => deadlinesOf(row)[0]

type Warned = Aging & Pick<RuntimeRow, 'stateAt' | 'warnedFor'>

/** Milliseconds that an end may have moved since its warning: hosts and gateways do not tell of one use to the same millisecond. */
const sameMs = 2000

/** Whether its owner has been warned of an end. Use moves the end, and so asks for another warning. */
export const isWarnedOf = ({ warnedFor }: Pick<RuntimeRow, 'warnedFor'>, { at }: Pick<Deadline, 'at'>): boolean =>
  warnedFor !== null && Math.abs(at.getTime() - warnedFor.getTime()) <= sameMs

/**
 * Whether its owner has been warned that an end comes later than by its rules, because the warning did. Use since then would have
 * put the end off beyond that. A warning from before it came to its state was of something else; its age is the same in each.
 */
const isWarnedLate = ({ warnedFor, stateAt }: Warned, { at, reason, lead }: Due): boolean =>
  warnedFor !== null && warnedFor > at && (reason === 'max-age' || secondsAfter(warnedFor, -lead) >= stateAt)

/** When an end comes, now that it is `now`. */
const endOf = (row: Warned, due: Due, now: Date): Due & { isWarned: boolean } => {
  if (isWarnedOf(row, due)) return { ...due, isWarned: true }
  if (row.warnedFor && isWarnedLate(row, due)) return { ...due, at: row.warnedFor, isWarned: true }
  const isLate = secondsAfter(now, due.lead / 2) > due.at
  return { ...due, ...(isLate && { at: secondsAfter(now, due.lead) }), isWarned: false }
}

/**
 * What comes next by itself if nobody uses the runtime, and whether its owner knows; undefined: nothing does. An end comes when its rule
 * says; where it is too late by now for a warning, so long after `now` that there is one.
 *
 * @param now by the database's clock
 */
export const nextEnd = (row: Warned, now: Date): (Due & { isWarned: boolean }) | undefined => {
  const dues = deadlinesOf(row)
  const byUse = dues.find(({ reason }) => reason === 'idle')
  const byAge = dues.find(({ reason }) => reason === 'max-age')
  const unused = byUse && endOf(row, byUse, now)
  // A warning of disuse says also that its age is not over before that.
  return byAge && (!unused || byAge.at <= unused.at) ? endOf(row, byAge, now) : unused
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

/** A use that is written now: whoever waited for the row meanwhile does not set a later one back. */
export const usedNow = sql`greatest(${runtimes.lastUsedAt}, now())`

/** A runtime, and what time it was for the database when it was read. */
export type Read = { row: RuntimeRow; now: Date }

const readOf = (raw: Raw | undefined): Read | undefined =>
  raw && { row: decodeRuntime(raw), now: new Date(String(raw.read_at)) }

const readAt = sql.raw(`to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as read_at`)
const ofRuntime = columnsOf()

/** Milliseconds, rounded up: a date has no parts of them, and the database's times do. */
const justAfter = (at: Date) => new Date(at.getTime() + 1)

/** The runtime as it was seen, with the same rules. */
export const isAsRuled = (seen: Pick<RuntimeRow, 'id' | 'generation' | 'state' | 'idle'>): SQL | undefined =>
  and(
    eq(runtimes.id, seen.id),
    eq(runtimes.generation, seen.generation),
    eq(runtimes.state, seen.state),
    sql`${runtimes.idle} = ${JSON.stringify(seen.idle)}::text::jsonb`,
  )

/** The runtime as it was seen, not used since, and with the same rules. */
export const isAsUnused = (seen: Aging & Pick<RuntimeRow, 'id' | 'generation'>): SQL | undefined =>
  and(isAsRuled(seen), sql`${runtimes.lastUsedAt} < ${justAfter(seen.lastUsedAt).toISOString()}::timestamptz`)

/** The runtime as it was seen, as far as an end depends on it: its age counts whether it is used or not. */
export const isStillDue = (
  seen: Aging & Pick<RuntimeRow, 'id' | 'generation'>,
  { reason }: Pick<Deadline, 'reason'>,
): SQL | undefined => (reason === 'idle' ? isAsUnused(seen) : isAsRuled(seen))

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

/** Puts the next look at a runtime off, unless it was moved or has other rules. @param at null: never, for what can be told now */
export const lookAgainAt = async (
  db: Db,
  seen: Pick<RuntimeRow, 'id' | 'generation' | 'state' | 'idle'>,
  at: Date | null,
): Promise<void> => {
  await db
    .update(runtimes)
    .set({ idleAt: at && justAfter(at) })
    .where(isAsRuled(seen))
}

/** States in which a rule of use may come to something, with the rules that may. */
const hasRule = sql.join(
  [
    // Everything has an age.
    sql`${runtimes.idle} ->> 'maxAge' is not null`,
    ...Object.entries(stepsOf).map(
      ([state, steps]) =>
        sql`${runtimes.state} = ${state} and coalesce(${sql.join(
          steps.map(step => sql`${runtimes.idle} ->> ${sql.raw(`'${step}'`)}`),
          sql`, `,
        )}) is not null`,
    ),
  ],
  sql` or `,
)

/**
 * Has runtimes looked at that have rules and no look to come: gateways that know of no rules have moved them. Goes through them by
 * their hashes, as there is an index of, some at a time.
 *
 * @param after the hash that the last call came to; the empty string: from the beginning
 * @returns how many are looked at now, and the hash to go on from: the empty string when there are no more
 */
export const lookAtForgotten = async (
  db: Db,
  after: string,
  limit: number,
): Promise<{ found: number; next: string }> => {
  const [row] = await db.execute<{ found: number; next: string | null }>(sql`
    with passed as materialized (
      select id, owner_hash from ${runtimes}
      where state <> 'deleted' and owner_hash > ${after} order by owner_hash limit ${limit}
    ), forgotten as (
      select ${runtimes.id} from ${runtimes} where id in (select id from passed)
        and ${runtimes.idleAt} is null and ${runtimes.idle} <> '{}' and state <> 'deleting' and (${hasRule})
      for update skip locked
    ), looked as (
      update ${runtimes} set idle_at = now() where id in (select id from forgotten) returning id
    )
    select (select count(*) from looked)::int as found,
      case when (select count(*) from passed) = ${limit} then (select max(owner_hash) from passed) end as next`)
  return { found: row?.found ?? 0, next: row?.next ?? '' }
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

/**
 * Writes the warning of an end as an event, once, and looks again at that end.
 *
 * @returns false when that end does not come any more: it was moved, has other rules, or was used and its age is not over
 */
export const warnOf = async (db: Db, seen: RuntimeRow, deadline: Deadline): Promise<boolean> => {
  const { action, reason, at } = deadline
  const warned = db
    .update(runtimes)
    .set({ warnedFor: at, idleAt: justAfter(at) })
    .where(isStillDue(seen, deadline))
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
    // What is due by the new rules is found by looking, and what was told of was by the old ones.
    .set({ idle, idleAt: sql`now()`, lastUsedAt: usedNow, warnedFor: null })
    .where(
      and(
        eq(runtimes.id, id),
        notInArray(runtimes.state, ['deleting', 'deleted']),
        sql`${runtimes.idle} <> ${JSON.stringify(idle)}::text::jsonb`,
      ),
    )
}
