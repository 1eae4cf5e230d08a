import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { eq, sql } from 'drizzle-orm'
import { freshDatabase } from '../../test/kit/database.ts'
import { connect, type Database } from './connect.ts'
import { findHost, findProfile } from './hosts.ts'
import { migrate } from './migrate.ts'
import { runtimeChannel } from './notices.ts'
import {
  claimOwner,
  findRuntimeById,
  freeReservation,
  leaseWork,
  listEvents,
  listRuntimes,
  move,
  OwnerHashTaken,
  startOn,
  takeWork,
  toDeleted,
  toDeleting,
  toFailedAndFree,
  toFailedStillHeld,
  toRunning,
  toStopped,
  toStopping,
} from './runtimes.ts'
import { hosts, type RuntimeRow, runtimes } from './schema.ts'
import { moves, type RuntimeState, runtimeStates } from './states.ts'
import { putTenant } from './tenants.ts'
import { addHost, wanted } from './testing.ts'

const lease = 60_000

describe('runtimes in Postgres', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  const db = () => database.db

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 20 })
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    await putTenant(database.db, { slug: 'acme', mode: 'shared' })
  })
  after(async () => {
    await database.close()
    await fresh.drop()
  })
  beforeEach(async () => {
    await database.db.execute(sql`truncate runtimes, profiles, hosts, events restart identity cascade`)
  })

  const claim = async (owner: string, more = {}) => {
    const claimed = await claimOwner(db(), wanted(owner, more), lease)
    assert(claimed)
    return claimed
  }
  const started = async (owner: string, host = 'h1'): Promise<RuntimeRow> => {
    const row = await startOn(db(), (await claim(owner)).row, host, lease)
    assert(typeof row === 'object')
    return row
  }
  const running = async (owner: string): Promise<RuntimeRow> => {
    const row = await toRunning(db(), await started(owner))
    assert(row)
    return row
  }
  const slotsOf = async (host: string) => (await findHost(db(), host))?.reservedSlots

  it('twenty claims of one owner at once make one runtime', async () => {
    const claims = await Promise.all(Array.from({ length: 20 }, () => claim('alice')))
    assert.equal(claims.filter(({ created }) => created).length, 1)
    assert.equal(new Set(claims.map(({ row }) => row.id)).size, 1)
  })

  it('the database itself refuses a second live runtime of an owner', async () => {
    const { row } = await claim('alice')
    await assert.rejects(
      db()
        .insert(runtimes)
        .values({ ...wanted('alice'), id: 'rt_2', ownerHash: 'ffffffffffffffff' }),
    )
    await db().update(runtimes).set({ state: 'deleted' }).where(eq(runtimes.id, row.id))
    assert.equal((await claim('alice')).created, true)
  })

  it('an owner whose hash is taken by another owner is refused', async () => {
    await claim('alice')
    await assert.rejects(
      claimOwner(db(), wanted('bob', { ownerHash: wanted('alice').ownerHash }), lease),
      OwnerHashTaken,
    )
  })

  describe('a move', () => {
    for (const from of runtimeStates)
      for (const to of runtimeStates) {
        const isLegal = (moves[from] as readonly RuntimeState[]).includes(to)
        it(`${from} → ${to} ${isLegal ? 'happens' : 'does not happen'}`, async () => {
          const { row } = await claim('alice')
          await db().update(runtimes).set({ state: from }).where(eq(runtimes.id, row.id))
          const moved = await move(db(), { ...row, state: from }, { to })
          assert.equal(moved?.state, isLegal ? to : undefined)
          assert.equal((await findRuntimeById(db(), row.id))?.state, isLegal ? to : from)
        })
      }

    it('of an older generation has no effect', async () => {
      await addHost(db(), 'h1', 2)
      const old = await running('alice')
      const stopping = await toStopping(db(), old, lease, 'asked')
      const stopped = stopping && (await toStopped(db(), stopping))
      assert(stopped)
      const again = await startOn(db(), stopped, 'h1', lease)
      assert(typeof again === 'object')
      assert.equal(again.generation, old.generation + 1)
      assert.equal(await toRunning(db(), { ...again, generation: old.generation }), undefined)
      assert.equal(await toFailedAndFree(db(), old, { code: 'x', detail: 'late' }), undefined)
      assert.equal((await findRuntimeById(db(), old.id))?.state, 'starting')
      assert.equal(await slotsOf('h1'), 1)
    })

    it('asked ten times at once happens once, with one event', async () => {
      await addHost(db(), 'h1', 2)
      const row = await started('alice')
      const won = await Promise.all(Array.from({ length: 10 }, () => toRunning(db(), row)))
      assert.equal(won.filter(Boolean).length, 1)
      const events = await listEvents(db(), row, 0, 100)
      assert.deepEqual(
        events.map(event => [event.fromState, event.toState, event.generation]),
        [
          [null, 'pending', 0],
          ['pending', 'starting', 1],
          ['starting', 'running', 1],
        ],
      )
    })

    it('and its event come or go together', async () => {
      const { row } = await claim('alice')
      const rolledBack = db().transaction(async tx => {
        assert(await move(tx, row, { to: 'deleting' }))
        throw new Error('after the move')
      })
      await assert.rejects(rolledBack, /after the move/)
      assert.equal((await findRuntimeById(db(), row.id))?.state, 'pending')
      assert.equal((await listEvents(db(), row, 0, 100)).length, 1)
    })

    it('is announced to whoever listens', async () => {
      const heard = Promise.withResolvers<string>()
      const { unlisten } = await database.listen(runtimeChannel, heard.resolve)
      const { row } = await claim('alice')
      assert.equal(await heard.promise, row.id)
      await unlisten()
    })
  })

  describe('capacity', () => {
    it('is never overbooked by thirty starts at once', async () => {
      await addHost(db(), 'h1', 7)
      const rows = await Promise.all(Array.from({ length: 30 }, (_, n) => claim(`owner${n}`)))
      const results = await Promise.all(rows.map(({ row }) => startOn(db(), row, 'h1', lease)))
      assert.equal(results.filter(result => result === 'full').length, 23)
      const host = await findHost(db(), 'h1')
      assert.deepEqual([host?.reservedSlots, host?.reservedMemoryBytes, host?.reservedCpuMillis], [7, 7000, 700])
    })

    it('that is refused leaves the runtime where it was', async () => {
      await addHost(db(), 'h1', 0)
      const { row } = await claim('alice')
      assert.equal(await startOn(db(), row, 'h1', lease), 'full')
      const now = await findRuntimeById(db(), row.id)
      assert.deepEqual([now?.state, now?.generation, now?.reserved], ['pending', 0, false])
      assert.equal((await listEvents(db(), row, 0, 10)).length, 1)
    })

    const hostsThatTakeNothing: [string, object][] = [
      ['was silent for 20 s', { lastSeenAt: new Date(Date.now() - 21_000) }],
      ['never reported', { lastSeenAt: null }],
      ['is cordoned', { schedulable: false }],
      ['lacks memory', { memoryBytes: 999 }],
      ['lacks CPU', { cpuMillis: 99 }],
    ]
    for (const [what, more] of hostsThatTakeNothing)
      it(`of a host that ${what} is not given away`, async () => {
        await addHost(db(), 'h1', 2, more)
        assert.equal(await startOn(db(), (await claim('alice')).row, 'h1', lease), 'full')
      })

    it('is free again after stop, failure and delete, each once', async () => {
      await addHost(db(), 'h1', 3)
      const [a, b, c] = [await running('a'), await started('b'), await running('c')]
      assert.equal(await slotsOf('h1'), 3)
      const stopping = await toStopping(db(), a, lease, 'asked')
      assert(stopping)
      await Promise.all([toStopped(db(), stopping), toStopped(db(), stopping)])
      assert.equal(await slotsOf('h1'), 2)
      await toFailedAndFree(db(), b, { code: 'x', detail: 'y' })
      assert.equal(await slotsOf('h1'), 1)
      const deleting = await toDeleting(db(), c, false, lease)
      assert(deleting)
      assert.equal(await slotsOf('h1'), 1)
      await Promise.all([toDeleted(db(), deleting), toDeleted(db(), deleting)])
      assert.equal(await slotsOf('h1'), 0)
    })

    it('of a failed runtime whose container may be there stays taken until the host confirms', async () => {
      await addHost(db(), 'h1', 1)
      const failed = await toFailedStillHeld(db(), await running('alice'), { code: 'x', detail: 'y' })
      assert(failed)
      assert.equal(await slotsOf('h1'), 1)
      assert.deepEqual(
        await Promise.all([freeReservation(db(), failed), freeReservation(db(), failed)]).then(all => all.toSorted()),
        [false, true],
      )
      assert.equal(await slotsOf('h1'), 0)
      // A move that was decided on before that does not give it back again.
      assert.equal(await startOn(db(), failed, 'h1', lease), undefined)
    })

    it('cannot be given back twice even by a bug: the database refuses', async () => {
      await addHost(db(), 'h1', 1)
      await assert.rejects(db().update(hosts).set({ reservedSlots: -1 }).where(eq(hosts.id, 'h1')))
    })
  })

  describe('a profile', () => {
    it('is remembered with its host, and forgotten only with its volume', async () => {
      await addHost(db(), 'h1', 2)
      const row = await running('alice')
      assert.equal((await findProfile(db(), row))?.hostId, 'h1')
      const kept = await toDeleting(db(), row, false, lease)
      assert(kept && (await toDeleted(db(), kept)))
      assert.equal((await findProfile(db(), row))?.hostId, 'h1')
      const again = await toDeleting(db(), await running('alice'), true, lease)
      assert(again && (await toDeleted(db(), again)))
      assert.equal(await findProfile(db(), row), undefined)
    })

    it('asked for while the rest is removed is not forgotten by the removal that kept it', async () => {
      await addHost(db(), 'h1', 2)
      const deleting = await toDeleting(db(), await running('alice'), false, lease)
      assert(deleting)
      await db().update(runtimes).set({ removeVolume: true }).where(eq(runtimes.id, deleting.id))
      assert.equal(await toDeleted(db(), deleting), undefined)
    })
  })

  describe('unfinished work', () => {
    it('is taken over by one gateway only, and only when its mover went quiet', async () => {
      for (let n = 0; n < 10; n++) await claim(`owner${n}`)
      assert.equal((await takeWork(db(), lease, 50)).length, 0)
      await db().update(runtimes).set({ workUntil: sql`now() - interval '1 second'` })
      const taken = (await Promise.all([1, 2, 3, 4].map(() => takeWork(db(), lease, 5)))).flat()
      assert.equal(taken.length, 10)
      assert.equal(new Set(taken.map(({ id }) => id)).size, 10)
      assert(taken.every(({ workTries }) => workTries === 1))
    })

    it('of a row that has moved on is not leased', async () => {
      await addHost(db(), 'h1', 1)
      const row = await running('alice')
      await leaseWork(db(), { ...row, state: 'starting' }, lease)
      assert.equal((await findRuntimeById(db(), row.id))?.workUntil, null)
    })
  })

  it('lists a tenant newest first, in pages, without the deleted ones, and nobody else', async () => {
    for (const owner of ['a', 'b', 'c']) await claim(owner, { labels: { team: owner } })
    await claim('a', { tenant: 'acme', ownerHash: 'ffffffffffffffff' })
    const all = await listRuntimes(db(), 'default', {}, { limit: 2 })
    assert.deepEqual(
      all.map(({ owner }) => owner),
      ['c', 'b'],
    )
    const rest = await listRuntimes(db(), 'default', {}, { limit: 2, before: all[1]?.id })
    assert.deepEqual(
      rest.map(({ owner }) => owner),
      ['a'],
    )
    const labelled = await listRuntimes(db(), 'default', { labels: { team: 'b' } }, { limit: 10 })
    assert.deepEqual(
      labelled.map(({ owner }) => owner),
      ['b'],
    )
    await db().update(runtimes).set({ state: 'deleted' }).where(eq(runtimes.owner, 'b'))
    assert.equal((await listRuntimes(db(), 'default', {}, { limit: 10 })).length, 2)
    assert.equal((await listRuntimes(db(), 'default', { state: ['deleted'] }, { limit: 10 })).length, 1)
  })

  it('gateways that start together migrate once', async () => {
    const other = await freshDatabase()
    try {
      await Promise.all([migrate(other.url), migrate(other.url), migrate(other.url)])
    } finally {
      await other.drop()
    }
  })
})
