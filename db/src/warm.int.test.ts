import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { eq, sql } from 'drizzle-orm'
import { migratedDatabase } from '../../test/kit/migrated.ts'
import { findHost, findProfile } from './hosts.ts'
import { standInLine } from './room.ts'
import {
  CreatesExceeded,
  createOn,
  findLive,
  findRuntimeById,
  listEvents,
  type NewRuntime,
  toDeleted,
  toDeleting,
  toRunning,
} from './runtimes.ts'
import { hosts, type RuntimeRow, runtimes } from './schema.ts'
import { warmTenant } from './states.ts'
import { findTenant, listTenants, putTenant, updateTenant } from './tenants.ts'
import { addHost, wanted } from './testing.ts'
import {
  countWarm,
  ensureWarmTenant,
  holdWarming,
  listSpareWarm,
  listWarmInTheWay,
  recentCreates,
  stillWarm,
  takeHostsToWarm,
} from './warm.ts'

const lease = 60_000
const fingerprint = 'f1'
const kind = { spec: 'browser', fingerprint, need: { memoryBytes: 1000, cpuMillis: 100, gpus: 0 } }

describe('warm runtimes', { concurrency: false }, () => {
  let database: Awaited<ReturnType<typeof migratedDatabase>>
  const db = () => database.db

  before(async () => {
    database = await migratedDatabase(12)
  })
  after(() => database.end())
  beforeEach(async () => {
    await db().execute(
      sql`truncate runtimes, profiles, hosts, events, volume_removals, tenants restart identity cascade`,
    )
    await ensureWarmTenant(db())
    await putTenant(db(), { slug: 'default', mode: 'docker-per-principal' })
    await addHost(db(), 'h1', 4)
  })

  let made = 0
  const starting = async (host = 'h1', more: Partial<NewRuntime> = {}) => {
    made += 1
    const owner = `w${made}`
    const claimed = await createOn(
      db(),
      wanted(owner, { tenant: warmTenant, mode: 'docker-per-task', labels: { fingerprint }, ...more }),
      host,
      lease,
    )
    return claimed?.row ?? assert.fail()
  }
  const warm = async (host = 'h1', more: Partial<NewRuntime> = {}) =>
    (await toRunning(db(), await starting(host, more))) ?? assert.fail()
  const ask = async (owner: string, more: Partial<NewRuntime> = {}, host: string | null = null) =>
    (await createOn(db(), wanted(owner, { warm: fingerprint, ...more }), host, lease, 5000)) ?? assert.fail()
  const rowOf = async ({ id }: { id: string }) => (await findRuntimeById(db(), id)) ?? assert.fail()
  const usedBy = async (slug: string) => {
    const { usedRuntimes, usedMemoryBytes, usedCpuMillis } = (await findTenant(db(), slug)) ?? assert.fail()
    return { usedRuntimes, usedMemoryBytes, usedCpuMillis }
  }
  const reservedOn = async (id: string) => {
    const host = (await findHost(db(), id)) ?? assert.fail()
    return [host.reservedSlots, host.reservedMemoryBytes, host.reservedCpuMillis]
  }

  describe('given to a new owner', () => {
    it('one keeps its id, its host and its room, and starts by the next generation', async () => {
      const one = await warm()
      const { row, created, started } = await ask('alice', { labels: { a: 'b' }, idle: { maxAge: 60 } })
      assert.equal(created, true)
      assert.deepEqual(started?.outcome, row)
      const { id, generation, hostId, state, tenant, mode, owner, reserved, counted, labels, idle } = row
      assert.deepEqual(
        { id, generation, hostId, state, tenant, mode, owner, reserved, counted, labels, idle },
        {
          ...{ id: one.id, generation: one.generation + 1, hostId: 'h1', state: 'starting', tenant: 'default' },
          ...{ mode: 'docker-per-principal', owner: 'alice', reserved: true, counted: true },
          ...{ labels: { a: 'b' }, idle: { maxAge: 60 } },
        },
      )
      assert.ok(row.createdAt > one.createdAt)
      assert.ok(row.workUntil)
      assert.equal(row.readyAt, null)
      assert.ok(row.idleAt)
      assert.deepEqual(await reservedOn('h1'), [1, 1000, 100])
      assert.deepEqual(await usedBy(warmTenant), { usedRuntimes: 0, usedMemoryBytes: 0, usedCpuMillis: 0 })
      assert.deepEqual(await usedBy('default'), { usedRuntimes: 1, usedMemoryBytes: 1000, usedCpuMillis: 100 })
      assert.equal((await findProfile(db(), row))?.hostId, 'h1')
      assert.equal(await findProfile(db(), one), undefined)
      assert.equal((await ask('alice')).row.id, one.id)
    })

    it('what happened to it before is not told', async () => {
      await warm()
      const { row } = await ask('alice')
      const moves = (await listEvents(db(), row, 0, 10)).map(({ toState, generation, data }) => [
        toState,
        generation,
        data,
      ])
      assert.deepEqual(moves, [
        ['pending', 0, {}],
        ['starting', 2, { host: 'h1', warm: true }],
      ])
    })

    it('many owners at once get one each, and those that come too late start cold', async () => {
      const there = await Promise.all([warm(), warm(), warm()])
      await addHost(db(), 'h2', 20)
      const asked = await Promise.all(Array.from({ length: 10 }, (_, n) => ask(`o${n}`, {}, 'h2')))
      const ids = asked.map(({ row }) => row.id)
      assert.equal(new Set(ids).size, 10)
      assert.deepEqual(
        ids.filter(id => there.some(one => one.id === id)).toSorted(),
        there.map(({ id }) => id).toSorted(),
      )
      assert.ok(asked.every(({ row }) => row.state === 'starting'))
      assert.equal((await usedBy('default')).usedRuntimes, 10)
      assert.deepEqual(
        [await reservedOn('h1'), await reservedOn('h2')].map(([slots]) => slots),
        [3, 7],
      )
    })

    it('owners who are asked for with and without one at once never wait for each other for ever', async () => {
      await addHost(db(), 'h2', 50)
      for (let round = 0; round < 15; round += 1) {
        await Promise.all([warm(), warm()])
        const owner = `both${round}`
        const asked = await Promise.all([
          ...[ask(owner), ask(owner, { warm: undefined }, 'h2'), ask(owner), ask(owner, { warm: undefined }, 'h2')],
        ])
        assert.equal(new Set(asked.map(({ row }) => row.id)).size, 1)
        for (const row of await database.db.select().from(runtimes).where(sql`state <> 'deleted'`)) {
          const deleting = (await toDeleting(db(), row, true, lease)) ?? assert.fail()
          await toDeleted(db(), deleting)
        }
      }
      const [{ deadlocks = -1 } = {}] = await db().$client<{ deadlocks: number }[]>`
        select deadlocks::int as deadlocks from pg_stat_database where datname = current_database()`
      assert.equal(deadlocks, 0)
      assert.deepEqual([await reservedOn('h1'), await reservedOn('h2')].flat(), [0, 0, 0, 0, 0, 0])
    })

    it('one owner who is asked for many times at once gets one', async () => {
      await Promise.all([warm(), warm(), warm()])
      const asked = await Promise.all(Array.from({ length: 8 }, () => ask('alice')))
      assert.equal(new Set(asked.map(({ row }) => row.id)).size, 1)
      assert.equal(asked.filter(({ created }) => created).length, 1)
      assert.equal(await countWarm(db(), kind), 2)
      assert.equal((await usedBy('default')).usedRuntimes, 1)
    })

    it('whoever saw it before it was given away ends it no more', async () => {
      const seen = await warm()
      const { row } = await ask('alice')
      await toRunning(db(), row)
      assert.equal(await toDeleting(db(), seen, true, lease, { provided: stillWarm }), undefined)
      // Even in the very state and generation that it is in.
      assert.equal(await toDeleting(db(), await rowOf(seen), true, lease, { provided: stillWarm }), undefined)
      assert.equal((await rowOf(seen)).state, 'running')
    })

    it('one that was given away and deleted leaves nothing reserved', async () => {
      await warm()
      const { row } = await ask('alice')
      const running = (await toRunning(db(), row)) ?? assert.fail()
      const deleting = (await toDeleting(db(), running, true, lease)) ?? assert.fail()
      assert.ok(await toDeleted(db(), deleting))
      assert.deepEqual(await reservedOn('h1'), [0, 0, 0])
      assert.deepEqual(await usedBy('default'), { usedRuntimes: 0, usedMemoryBytes: 0, usedCpuMillis: 0 })
    })
  })

  describe('not given away', () => {
    const isCold = async (seen: RuntimeRow, asked: Promise<{ row: RuntimeRow }>) => {
      const { row } = await asked
      assert.notEqual(row.id, seen.id)
      const now = await rowOf(seen)
      assert.deepEqual([now.tenant, now.state, now.generation], [warmTenant, seen.state, seen.generation])
      return row
    }

    it('to who does not ask for one, or for another kind', async () => {
      const one = await warm()
      await isCold(one, ask('a', { warm: undefined }))
      await isCold(one, ask('b', { warm: 'f2' }))
      await isCold(one, ask('c', { spec: 'other' }))
      await isCold(one, ask('d', { needMemoryBytes: 2000 }))
    })

    it('before it runs, or while it is moved', async () => {
      const one = await starting()
      await isCold(one, ask('a'))
      const running = (await toRunning(db(), one)) ?? assert.fail()
      const deleting = (await toDeleting(db(), running, true, lease)) ?? assert.fail()
      await isCold(deleting, ask('b'))
    })

    it('on a host that takes nobody, is silent, or has not the labels that are asked for', async () => {
      const one = await warm()
      const host = (more: Partial<typeof hosts.$inferInsert>) => db().update(hosts).set(more).where(eq(hosts.id, 'h1'))
      await isCold(one, ask('a', { start: { memoryBytes: 2000, cpus: 1, require: { zone: 'x' } } }))
      await host({ schedulable: false })
      await isCold(one, ask('b'))
      await host({ schedulable: true, lastSeenAt: new Date(Date.now() - 60_000) })
      await isCold(one, ask('c'))
      await host({ lastSeenAt: new Date(), labels: { zone: 'x' } })
      const { row } = await ask('d', { start: { memoryBytes: 2000, cpus: 1, require: { zone: 'x' } } })
      assert.equal(row.id, one.id)
    })

    it('to an owner who has a profile', async () => {
      const { row } = await ask('alice', {}, 'h1')
      const deleting = (await toDeleting(db(), row, false, lease)) ?? assert.fail()
      await toDeleted(db(), deleting)
      assert.ok(await findProfile(db(), row))
      await isCold(await warm(), ask('alice'))
    })

    it('to an owner whose last runtime has a newer id', async () => {
      const one = await warm()
      const { row } = await ask('alice', { warm: undefined }, 'h1')
      const deleting = (await toDeleting(db(), row, true, lease)) ?? assert.fail()
      await toDeleted(db(), deleting)
      await isCold(one, ask('alice'))
    })

    it("beyond the tenant's quota, its creates of a minute, or the turn of who waits in line", async () => {
      const one = await warm()
      await updateTenant(db(), 'default', { maxRuntimes: 0 })
      const waiting = await isCold(one, ask('a'))
      assert.equal(waiting.state, 'pending')
      await updateTenant(db(), 'default', { maxRuntimes: null, createsPerMinute: 1 })
      await db().execute(sql`update tenants set create_minute = date_trunc('minute', now()), create_count = 1`)
      await assert.rejects(ask('b'), CreatesExceeded)
      await updateTenant(db(), 'default', { createsPerMinute: null })
      assert.ok(await standInLine(db(), waiting, 'hosts'))
      await isCold(one, ask('c'))
    })

    it('with the creates of a minute counted once', async () => {
      await warm()
      await updateTenant(db(), 'default', { createsPerMinute: 10 })
      const { allowance } = await ask('a')
      assert.deepEqual([allowance?.limit, allowance?.remaining], [10, 9])
    })
  })

  describe('made', () => {
    const take = (perHost = 1, limit = 10, holdMs = 60_000) =>
      takeHostsToWarm(db(), kind, { perHost, limit, holdMs, leastDiskBytes: 1000 })

    it('where there are too few, by one gateway at a time', async () => {
      await addHost(db(), 'h2', 4)
      const taken = await Promise.all([take(), take(), take()])
      assert.deepEqual(taken.flat().toSorted(), ['h1', 'h2'])
      assert.deepEqual(await take(), [])
    })

    it('up to their number, counting those that start', async () => {
      await warm()
      assert.deepEqual(await take(1, 10, 0), [])
      assert.deepEqual(await take(2, 10, 0), ['h1'])
      assert.equal(await countWarm(db(), kind), 1)
      const one = await starting()
      assert.equal(await countWarm(db(), kind), 2)
      assert.deepEqual(await take(3, 10, 0), [])
      await toRunning(db(), one)
      assert.deepEqual(await take(3, 10, 0), ['h1'])
    })

    it('only where somebody else would find room besides, and nothing else starts', async () => {
      for (const owner of ['a', 'b', 'c']) {
        const { row } = await ask(owner, { warm: undefined }, 'h1')
        assert.deepEqual(await take(1, 10, 0), [])
        await toRunning(db(), row)
        assert.deepEqual(await take(1, 10, 0), owner === 'c' ? [] : ['h1'])
      }
    })

    it('not where one has just failed, nor on hosts that take nobody', async () => {
      const failed = await starting()
      await db().update(runtimes).set({ state: 'failed' }).where(eq(runtimes.id, failed.id))
      assert.deepEqual(await take(2, 10, 0), [])
      await db().update(runtimes).set({ state: 'deleted' }).where(eq(runtimes.id, failed.id))
      await holdWarming(db(), 'h1', 60_000)
      await addHost(db(), 'h0', 4, { diskFreeBytes: 999 })
      await addHost(db(), 'h2', 4, { schedulable: false })
      await addHost(db(), 'h3', 4, { lastSeenAt: new Date(Date.now() - 60_000) })
      assert.deepEqual(await take(), [])
    })
  })

  describe('no longer wanted', () => {
    type Kinds = Parameters<typeof listSpareWarm>[1]
    const spares = async (kinds: Kinds = [{ spec: 'browser', fingerprint, perHost: 2 }], maxAgeSeconds = 3600) =>
      (await listSpareWarm(db(), kinds, { maxAgeSeconds, limit: 10 })).map(({ id }) => id)
    const age = (id: string, seconds: number) =>
      db()
        .update(runtimes)
        .set({ createdAt: new Date(Date.now() - seconds * 1000) })
        .where(eq(runtimes.id, id))

    it('are those of another kind, or all where none is wanted, once gateways have had time to agree', async () => {
      const one = await warm('h1', { labels: { fingerprint: 'f0' } })
      for (const kinds of [undefined, []]) {
        await age(one.id, 0)
        assert.deepEqual(await spares(kinds), [])
        await age(one.id, 61)
        assert.deepEqual(await spares(kinds), [one.id])
      }
    })

    it('are those that are old, that ended, that are too many, or whose host takes nobody', async () => {
      const [first, second] = [await warm(), await warm()]
      assert.deepEqual(await spares(), [])
      assert.deepEqual(await spares([{ spec: 'browser', fingerprint, perHost: 1 }]), [first.id])
      assert.deepEqual(await spares([{ spec: 'browser', fingerprint, perHost: 2, inAll: 1 }]), [first.id])
      await age(second.id, 4000)
      assert.deepEqual(await spares(), [second.id])
      await age(second.id, 0)
      await db().update(runtimes).set({ state: 'failed' }).where(eq(runtimes.id, first.id))
      assert.deepEqual(await spares(), [first.id])
      await db().update(hosts).set({ schedulable: false }).where(eq(hosts.id, 'h1'))
      assert.deepEqual((await spares()).toSorted(), [first.id, second.id].toSorted())
    })

    it('are none that start, and none of anybody', async () => {
      await starting()
      await ask('alice', {}, 'h1')
      assert.deepEqual(await spares(), [])
    })
  })

  it('make way for who needs their room, no more of them than that takes', async () => {
    const all = [await warm(), await warm(), await warm()]
    const { row } = await ask('alice', { warm: undefined }, 'h1')
    assert.equal(row.state, 'starting')
    const inTheWay = async (
      slots: number,
      hostId?: string,
      labels?: Record<string, string>,
      excluded: string[] = [],
    ) => {
      const need = { memoryBytes: slots * 1000, cpuMillis: slots * 100, gpus: 0 }
      return (await listWarmInTheWay(db(), need, { hostId, labels, excluded })).map(({ id }) => id)
    }
    assert.deepEqual(
      await inTheWay(2),
      all.slice(0, 2).map(({ id }) => id),
    )
    assert.deepEqual(await inTheWay(1, 'h2'), [])
    assert.deepEqual(await inTheWay(1, undefined, { zone: 'x' }), [])
    assert.deepEqual(await inTheWay(4), [])
    assert.deepEqual(await inTheWay(1, undefined, {}, ['h1']), [])
    // One that goes already is waited for before another has to.
    const last = (await toDeleting(db(), all[2] ?? assert.fail(), true, lease)) ?? assert.fail()
    assert.deepEqual(await inTheWay(1), [last.id])
  })

  it('are of a tenant that is not listed, and count as nobody’s demand', async () => {
    await warm()
    assert.deepEqual(
      (await listTenants(db(), { limit: 10 })).map(({ slug }) => slug),
      ['default'],
    )
    const recent = () => recentCreates(db(), 'browser', { seconds: 60, warmSeconds: 3600, limit: 10 })
    assert.equal((await recent()).length, 0)
    const { row } = await ask('alice')
    assert.deepEqual(await recent(), [row.createdAt])
    assert.equal((await findLive(db(), row))?.id, row.id)
  })
})
