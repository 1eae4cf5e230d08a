import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { freshDatabase } from '../../test/kit/database.ts'
import { connect, type Database } from './connect.ts'
import { type Beat, compareInventories, type HostFacts, recordHeartbeat, recordHeartbeats } from './heartbeats.ts'
import { findHost, removeHost } from './hosts.ts'
import { migrate } from './migrate.ts'
import { claimOwner, startOn, toRunning, toStopped, toStopping } from './runtimes.ts'
import type { RuntimeRow } from './schema.ts'
import { putTenant } from './tenants.ts'
import { addHost, wanted } from './testing.ts'

const lease = 60_000
const facts: HostFacts = {
  memoryBytes: 2 ** 40,
  cpuMillis: 64_000,
  slots: 50,
  gpus: 2,
  engineVersion: '27',
  images: ['an image', `another one's "name"`],
  labels: { zone: 'a' },
}

describe('heartbeats', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 10 })
  })
  after(async () => {
    await database.close()
    await fresh.drop()
  })
  beforeEach(async () => {
    await database.db.execute('truncate runtimes, profiles, hosts, events, tenants restart identity cascade')
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    for (const id of ['h1', 'h2', 'h3']) await addHost(database.db, id, 10, { lastSeenAt: null })
  })

  const hostOf = async (id: string) => (await findHost(database.db, id)) ?? assert.fail()
  const light = (id: string) => ({ id, load: 0.5, diskFreeBytes: 7 })

  it('of many hosts are written together: what is new of each, and that it is there', async () => {
    const written = await recordHeartbeats(database.db, [
      { ...light('h1'), facts },
      { ...light('h2'), diskFreeBytes: null },
    ])
    assert.deepEqual([...written].toSorted(), ['h1', 'h2'])
    const [h1, h2, h3] = await Promise.all(['h1', 'h2', 'h3'].map(hostOf))
    assert.deepEqual([h1?.live, h2?.live, h3?.live], [true, true, false])
    for (const [name, value] of Object.entries({ ...facts, load: 0.5, diskFreeBytes: 7 }))
      assert.deepEqual(h1?.[name as keyof typeof h1], value, name)
    assert.deepEqual([h2?.slots, h2?.memoryBytes, h2?.images, h2?.diskFreeBytes], [10, 10_000, [], null])
    assert.deepEqual(await recordHeartbeats(database.db, []), new Set())
  })

  it('beside those that no statement takes are written, and the others are refused by themselves', async () => {
    const poisons: [string, Partial<Beat>][] = [
      ['a load too large', { load: 1e39 }],
      ['a load too small', { load: 1e-60 }],
      ['too many slots', { facts: { ...facts, slots: 3_000_000_000 } }],
      ['a NUL', { facts: { ...facts, labels: { zone: 'a\0' } } }],
      ['a lone surrogate', { facts: { ...facts, labels: { zone: '\ud800' } } }],
    ]
    for (const [what, more] of poisons) {
      await database.db.execute('update hosts set last_seen_at = null')
      const poisoned = { ...light('h2'), ...more }
      const written = await recordHeartbeats(database.db, [light('h1'), poisoned, light('h3')])
      assert.deepEqual([...written].toSorted(), ['h1', 'h3'], what)
      assert.deepEqual(
        await Promise.all(['h1', 'h2', 'h3'].map(async id => (await hostOf(id)).live)),
        [true, false, true],
        what,
      )
      await assert.rejects(recordHeartbeat(database.db, poisoned), what)
    }
  })

  it('of a host that was removed, or never was, are not written', async () => {
    await removeHost(database.db, 'h1', { force: true })
    const written = await recordHeartbeats(database.db, ['h1', 'h2', 'h9'].map(light))
    assert.deepEqual([...written], ['h2'])
    assert.equal(await recordHeartbeat(database.db, light('h1')), false)
  })

  it('wait for no row that somebody else has, but for those who want just that', async () => {
    const held = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const holding = database.db.transaction(async tx => {
      await tx.execute(`select 1 from hosts where id = 'h2' for update`)
      held.resolve()
      await release.promise
    })
    await held.promise
    try {
      assert.deepEqual([...(await recordHeartbeats(database.db, ['h1', 'h2', 'h3'].map(light)))].toSorted(), [
        'h1',
        'h3',
      ])
      const behind = recordHeartbeat(database.db, { ...light('h2'), facts })
      release.resolve()
      assert.equal(await behind, true)
      assert.equal((await hostOf('h2')).slots, 50)
    } finally {
      release.resolve()
      await holding
    }
  })

  it('of the same hosts at two gateways, in whatever order, hold nobody up for ever', async () => {
    const orders = [
      ['h1', 'h2', 'h3'],
      ['h3', 'h2', 'h1'],
      ['h2', 'h3', 'h1'],
    ]
    const writers = orders.map(async order => {
      for (let n = 0; n < 50; n += 1) await recordHeartbeats(database.db, order.map(light))
    })
    await Promise.all(writers)
    assert.equal((await recordHeartbeats(database.db, ['h1', 'h2', 'h3'].map(light))).size, 3)
  })

  it('can be written in place: pages have room, and no index has a column that they change', async () => {
    // What Postgres counts as in place is up to everybody on the server: an old snapshot keeps old versions where they are.
    const [room] = await database.db.execute<{ options: string }>(
      `select array_to_string(reloptions, ',') as options from pg_class where oid = 'hosts'::regclass`,
    )
    assert.equal(room?.options, 'fillfactor=50')
    const columns = await database.db.execute<{ name: string }>(
      `select distinct attname as name from pg_index join pg_attribute on attrelid = indrelid and attnum = any(indkey)
        where indrelid = 'hosts'::regclass order by 1`,
    )
    assert.deepEqual(
      columns.map(({ name }) => name),
      ['id', 'public_key'],
    )
  })

  describe('that tell what a host has', () => {
    const running = async (owner: string, host: string): Promise<RuntimeRow> => {
      const claimed = (await claimOwner(database.db, wanted(owner), lease)) ?? assert.fail()
      const row = await startOn(database.db, claimed.row, host, lease)
      assert(typeof row === 'object')
      return (await toRunning(database.db, row)) ?? assert.fail()
    }
    const has = ({ id, generation }: RuntimeRow, state = 'running') => ({ id, generation, state })
    const live = () => database.db.execute('update hosts set last_seen_at = now()')

    it('are told apart: all is well, or not', async () => {
      await live()
      const [alice, bob, carol] = [
        await running('alice', 'h1'),
        await running('bob', 'h1'),
        await running('carol', 'h2'),
      ]
      const h1 = async (...runtimes: ReturnType<typeof has>[]) => {
        const answers = await compareInventories(database.db, [
          { hostId: 'h1', runtimes },
          { hostId: 'h2', runtimes: [has(carol)] },
          { hostId: 'h3', runtimes: [] },
        ])
        assert.deepEqual([answers.get('h2'), answers.get('h3')], [true, true])
        return answers.get('h1')
      }
      assert.equal(await h1(has(alice), has(bob)), true)
      assert.equal(await h1(has(bob), has(alice)), true)
      assert.equal(await h1(has(alice)), false, 'one is missing')
      assert.equal(await h1(), false, 'all are missing')
      assert.equal(
        await h1(has(alice), has(bob), { ...has(bob), id: `rt_${'0'.repeat(26)}` }),
        false,
        'nobody knows one',
      )
      assert.equal(await h1(has(alice), has({ ...bob, generation: 2 })), false, 'another generation')
      assert.equal(await h1(has(alice), has(bob, 'paused')), false, 'frozen')
      assert.equal(await h1(has(alice), has(bob, 'exited')), false, 'ended')
      assert.equal(await h1(has(alice), has(bob), has(bob)), true, 'told twice')
    })

    it('are not well with what is of another host, or over; well without what is over or lost', async () => {
      await live()
      const [alice, bob] = [await running('alice', 'h1'), await running('bob', 'h1')]
      const isWell = async (hostId: string, ...runtimes: ReturnType<typeof has>[]) =>
        (await compareInventories(database.db, [{ hostId, runtimes }])).get(hostId)
      assert.equal(await isWell('h2', has(alice)), false)
      const stopping = (await toStopping(database.db, alice, lease, 'asked')) ?? assert.fail()
      await toStopped(database.db, stopping)
      await database.db.execute(`update runtimes set state = 'lost' where id = '${bob.id}'`)
      assert.equal(await isWell('h1'), true)
      assert.equal(await isWell('h1', has(alice)), false)
      assert.equal(await isWell('h1', has(bob)), false)
    })

    it('count for nothing from a host that was removed', async () => {
      await removeHost(database.db, 'h1', { force: true })
      const answers = await compareInventories(database.db, [{ hostId: 'h1', runtimes: [] }])
      assert.equal(answers.has('h1'), false)
      assert.deepEqual(await compareInventories(database.db, []), new Map())
    })
  })
})
