import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { eq, sql } from 'drizzle-orm'
import { migratedDatabase } from '../../test/kit/migrated.ts'
import {
  isAsUnused,
  isStillDue,
  lookAgainAt,
  lookAtForgotten,
  nextDeadline,
  nextEnd,
  noteUnused,
  setIdle,
  takeIdle,
  warnOf,
} from './idle.ts'
import { toPaused } from './room.ts'
import {
  claimOwner,
  findRuntimeById,
  listEvents,
  moveAndRelease,
  startOn,
  toDeleting,
  toFailedStillHeld,
  toRunning,
  toStopped,
  toStopping,
  touch,
  touchAll,
} from './runtimes.ts'
import { type RuntimeRow, runtimes } from './schema.ts'
import type { IdlePolicy } from './states.ts'
import { putTenant } from './tenants.ts'
import { addHost, wanted } from './testing.ts'

const lease = 60_000

describe('idle rules in Postgres', { concurrency: false }, () => {
  let database: Awaited<ReturnType<typeof migratedDatabase>>
  const db = () => database.db

  before(async () => {
    database = await migratedDatabase(10)
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
  })
  after(() => database.end())
  beforeEach(async () => {
    await database.db.execute(sql`truncate runtimes, profiles, hosts, events restart identity cascade`)
    await addHost(db(), 'h1', 100)
  })

  const running = async (owner: string, idle: IdlePolicy): Promise<RuntimeRow> => {
    const claimed = await claimOwner(db(), wanted(owner, { idle }), lease)
    const started = claimed && (await startOn(db(), claimed.row, 'h1', lease))
    const row = typeof started === 'object' ? await toRunning(db(), started) : undefined
    assert(row)
    return row
  }
  const now = async (id: string) => (await findRuntimeById(db(), id)) ?? assert.fail()
  /** As if all of that had been so long ago. */
  const age = async (id: string, seconds: number) => {
    const by = sql`make_interval(secs => ${seconds})`
    await db()
      .update(runtimes)
      .set({
        createdAt: sql`${runtimes.createdAt} - ${by}`,
        lastUsedAt: sql`${runtimes.lastUsedAt} - ${by}`,
        idleAt: sql`${runtimes.idleAt} - ${by}`,
      })
      .where(eq(runtimes.id, id))
    return now(id)
  }
  /** Seconds from its last use to its next look. */
  const lookOf = ({ idleAt, lastUsedAt }: RuntimeRow) =>
    idleAt && Math.round((idleAt.getTime() - lastUsedAt.getTime()) / 1000)

  it('every move says when to look next', async () => {
    const row = await running('alice', { pauseAfter: 300, stopAfter: 900, deleteAfter: 3600 })
    assert.equal(lookOf(row), 237)
    const paused = (await toPaused(db(), row, lease, 'asked')) ?? assert.fail()
    assert.equal(lookOf(paused), 837)
    const stopping = (await toStopping(db(), paused, lease, 'asked')) ?? assert.fail()
    assert.equal(stopping.idleAt, null)
    const stopped = (await toStopped(db(), stopping)) ?? assert.fail()
    assert.equal(lookOf(stopped), 3537)
    assert.equal((await toDeleting(db(), stopped, false, lease))?.idleAt, null)
  })

  it('one that was not used for long before it was started is looked at when it is due, not before', async () => {
    const claimed = await claimOwner(db(), wanted('alice', { idle: { stopAfter: 900 } }), lease)
    const started = claimed && (await startOn(db(), claimed.row, 'h1', lease))
    assert(typeof started === 'object')
    await age(started.id, 5000)
    const row = (await toRunning(db(), started)) ?? assert.fail()
    assert.equal(lookOf(row), 837)
  })

  it('of one without rules it says never, and of a new one with an age that it is to be looked at', async () => {
    assert.equal((await running('alice', {})).idleAt, null)
    const claimed = await claimOwner(db(), wanted('bob', { idle: { maxAge: 600 } }), lease)
    assert(claimed?.row.idleAt)
    assert.deepEqual(claimed.row.idle, { maxAge: 600 })
  })

  it('what is due is taken by one of many at a time, and again when that one has not come back', async () => {
    const ids: string[] = []
    for (const owner of ['a', 'b', 'c', 'd', 'e']) {
      const { id } = await running(owner, { stopAfter: 900 })
      await age(id, 850)
      ids.push(id)
    }
    await running('fresh', { stopAfter: 900 })
    const taken = (await Promise.all([1, 2, 3, 4].map(() => takeIdle(db(), 60_000, 2)))).flat()
    assert.deepEqual(taken.map(({ row }) => row.id).toSorted(), ids.toSorted())
    for (const { row, now } of taken) assert(Math.abs(now.getTime() - row.lastUsedAt.getTime() - 850_000) < 10_000)
    assert.deepEqual(await takeIdle(db(), 60_000, 10), [])
    await db()
      .update(runtimes)
      .set({ idleAt: sql`${runtimes.idleAt} - interval '61 s'` })
    assert.equal((await takeIdle(db(), 60_000, 10)).length, 5)
  })

  it('one that somebody has just now holds up no other', async () => {
    const [held, free] = [await running('held', { stopAfter: 900 }), await running('free', { stopAfter: 900 })]
    for (const { id } of [held, free]) await age(id, 850)
    await db().transaction(async tx => {
      await tx.execute(sql`select from runtimes where id = ${held.id} for update`)
      const taken = await takeIdle(db(), 60_000, 10)
      assert.deepEqual(
        taken.map(({ row }) => row.id),
        [free.id],
      )
    })
  })

  it('those that are not due cost a look nothing, however many they are', async () => {
    await db().execute(sql`
      insert into runtimes (id, tenant, mode, owner, owner_hash, spec, state, generation, need_memory_bytes,
        need_cpu_millis, start, idle, idle_at)
      select 'rt_' || n, 'default', 'docker-per-principal', 'o' || n, lpad(to_hex(n), 16, '0'), 'browser', 'stopped', 1, 1, 1,
        '{}', '{"deleteAfter": 9000}', now() + interval '1 hour' from generate_series(1, 20000) n`)
    await db().execute(sql`analyze runtimes`)
    const plan = await db().execute<{ 'QUERY PLAN': string }>(
      sql`explain select id from runtimes where idle_at <= now() order by idle_at limit 100 for update skip locked`,
    )
    const text = plan.map(line => line['QUERY PLAN']).join('\n')
    assert.match(text, /Index Scan using runtimes_idle/)
    assert.doesNotMatch(text, /Seq Scan|Sort/)
  })

  it('what a host has seen of use counts where it is later, and never makes a runtime older', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    const row = await age(id, 800)
    const heard = await noteUnused(db(), row, 100_000)
    assert(heard)
    assert(Math.abs(heard.now.getTime() - heard.row.lastUsedAt.getTime() - 100_000) < 1000)
    const again = await noteUnused(db(), row, 700_000)
    assert.deepEqual(again?.row.lastUsedAt, heard.row.lastUsedAt)
    assert.equal(await noteUnused(db(), { ...row, generation: 7 }, 0), undefined)
    assert.deepEqual((await noteUnused(db(), row, Number.MAX_SAFE_INTEGER))?.row.lastUsedAt, heard.row.lastUsedAt)
  })

  it('a runtime that was used since it was seen is not stopped, and one that was not is', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    const seen = await age(id, 1000)
    const provided = isAsUnused(seen)
    assert(provided)
    assert(await touch(db(), id))
    assert.equal(await toStopping(db(), seen, lease, 'idle', { provided }), undefined)
    assert.equal(await toPaused(db(), seen, lease, 'idle', { provided }), undefined)
    assert.equal(await toDeleting(db(), seen, false, lease, { reason: 'idle', provided }), undefined)
    assert.equal((await now(id)).state, 'running')
    const later = await age(id, 1000)
    const stopping = await toStopping(db(), later, lease, 'idle', { provided: isAsUnused(later) })
    assert.equal(stopping?.state, 'stopping')
    assert.deepEqual((await listEvents(db(), seen, 0, 10)).at(-1)?.reason, 'idle')
  })

  it('a runtime whose rules were changed since it was seen is not stopped by the old ones', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    const seen = await age(id, 1000)
    await setIdle(db(), id, { stopAfter: 5000 })
    await db().update(runtimes).set({ lastUsedAt: seen.lastUsedAt }).where(eq(runtimes.id, id))
    assert.equal(await toStopping(db(), seen, lease, 'idle', { provided: isAsUnused(seen) }), undefined)
  })

  it('of twenty who stop an unused runtime at once one does', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    const seen = await age(id, 1000)
    const provided = isAsUnused(seen)
    const all = await Promise.all(Array.from({ length: 20 }, () => toStopping(db(), seen, lease, 'idle', { provided })))
    assert.equal(all.filter(Boolean).length, 1)
  })

  it('a warning is an event that moves nothing, and none where the runtime was used', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    const seen = await age(id, 850)
    const deadline = nextDeadline(seen) ?? assert.fail()
    assert.equal(await warnOf(db(), seen, deadline), true)
    const warned = await now(id)
    assert.deepEqual([warned.state, warned.warnedFor], ['running', deadline.at])
    assert.equal(lookOf(warned), 900)
    const { type, fromState, toState, reason, data } = (await listEvents(db(), seen, 0, 10)).at(-1) ?? assert.fail()
    assert.deepEqual(
      { type, fromState, toState, reason, data },
      {
        type: 'runtime.expiring',
        fromState: 'running',
        toState: 'running',
        reason: 'idle',
        data: { action: 'stop', at: deadline.at.toISOString() },
      },
    )
    await touch(db(), id)
    assert.equal(await warnOf(db(), seen, deadline), false)
  })

  it('new rules are looked at at once, and count as use', async () => {
    const { id } = await running('alice', {})
    const before = await age(id, 1000)
    await setIdle(db(), id, { stopAfter: 60 })
    const [taken] = await takeIdle(db(), 60_000, 10)
    assert.equal(taken?.row.id, id)
    assert(taken.row.lastUsedAt > before.lastUsedAt)
    await lookAgainAt(db(), taken.row, null)
    await setIdle(db(), id, { stopAfter: 60 })
    assert.equal((await now(id)).idleAt, null, 'rules that it has already are no change')
  })

  it('one that leaves its host for another reason than disuse counts as used until then, since nobody can ask any more', async () => {
    const error = { code: 'runtime-failed', detail: 'its container is gone' }
    for (const leave of [
      (row: RuntimeRow) => moveAndRelease(db(), row, { to: 'lost', reason: 'host-lost' }),
      (row: RuntimeRow) => toFailedStillHeld(db(), row, error),
      (row: RuntimeRow) => toStopping(db(), row, lease, 'its host is drained'),
      (row: RuntimeRow) => toPaused(db(), row, lease, 'made room for another runtime'),
    ]) {
      const { id } = await running(leave.toString(), { deleteAfter: 3600 })
      const left = (await leave(await age(id, 3500))) ?? assert.fail()
      assert(Date.now() - left.lastUsedAt.getTime() < 60_000, left.state)
      if (left.state !== 'stopping') assert.equal(lookOf(left), 3537)
      await db().delete(runtimes).where(eq(runtimes.id, id))
    }
    const { id } = await running('idle', { pauseAfter: 900, deleteAfter: 3600 })
    const seen = await age(id, 1000)
    assert.deepEqual((await toPaused(db(), seen, lease, 'idle'))?.lastUsedAt, seen.lastUsedAt)
  })

  it('an age that is over deletes one that was used, and none whose rules were changed', async () => {
    const { id } = await running('alice', { maxAge: 600 })
    const seen = await age(id, 601)
    const end = nextEnd(seen, new Date()) ?? assert.fail()
    await touch(db(), id)
    assert.equal(await warnOf(db(), seen, end), true)
    await setIdle(db(), id, { maxAge: 9000 })
    assert.equal((await now(id)).warnedFor, null)
    assert.equal(await warnOf(db(), seen, end), false)
    assert.equal(await toDeleting(db(), seen, false, lease, { provided: isStillDue(seen, end) }), undefined)
  })

  it('a look is not put off by who has seen older rules', async () => {
    const seen = await running('alice', { stopAfter: 9000 })
    await setIdle(db(), seen.id, { stopAfter: 60 })
    const { idleAt } = await now(seen.id)
    await lookAgainAt(db(), seen, new Date(Date.now() + 9_000_000))
    assert.deepEqual((await now(seen.id)).idleAt, idleAt)
  })

  it('a use is never set back', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    const later = new Date(Date.now() + 60_000)
    await db().update(runtimes).set({ lastUsedAt: later }).where(eq(runtimes.id, id))
    await touch(db(), id)
    await touchAll(db(), [id])
    await setIdle(db(), id, { stopAfter: 800 })
    assert.deepEqual((await now(id)).lastUsedAt, later)
  })

  it('one with rules that a gateway without them has moved is looked at, and no other is', async () => {
    await db().execute(sql`
      insert into runtimes (id, tenant, mode, owner, owner_hash, spec, state, generation, need_memory_bytes,
        need_cpu_millis, start, idle)
      select 'rt_' || n, 'default', 'docker-per-principal', 'o' || n, lpad(to_hex(n), 16, '0'), 'browser',
        states.state, 1, 1, 1, '{}', states.idle::jsonb
      from (values (1, 'running', '{"stopAfter": 900}'), (2, 'stopped', '{"stopAfter": 900}'), (3, 'stopped', '{"maxAge": 900}'),
        (4, 'lost', '{"deleteAfter": 900}'), (5, 'running', '{}'), (6, 'deleted', '{"maxAge": 900}'),
        (7, 'paused', '{"pauseAfter": 900}')) as states(n, state, idle)`)
    const first = await lookAtForgotten(db(), '', 2)
    assert.deepEqual(first, { found: 1, next: '0000000000000002' })
    assert.deepEqual(await lookAtForgotten(db(), first.next, 100), { found: 2, next: '' })
    const taken = await takeIdle(db(), 60_000, 10)
    assert.deepEqual(taken.map(({ row }) => row.id).toSorted(), ['rt_1', 'rt_3', 'rt_4'])
    assert.deepEqual(await lookAtForgotten(db(), '', 100), { found: 0, next: '' })
  })

  it('a look that was put off is not put off for one that was moved meanwhile', async () => {
    const seen = await running('alice', { stopAfter: 900, deleteAfter: 3600 })
    const stopping = (await toStopping(db(), seen, lease, 'asked')) ?? assert.fail()
    const stopped = (await toStopped(db(), stopping)) ?? assert.fail()
    await lookAgainAt(db(), seen, null)
    assert.deepEqual((await now(seen.id)).idleAt, stopped.idleAt)
  })
})
