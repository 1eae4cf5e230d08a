import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import {
  claimOwner,
  connect,
  type Database,
  drainHost,
  listHosts,
  migrate,
  type NewRuntime,
  putTenant,
  type RuntimeRow,
  readFigures,
  removeHost,
  setSchedulable,
  startOn,
  toDeleted,
  toDeleting,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { freshDatabase } from '../../../test/kit/database.ts'
import { createPlacement, NoRoom } from './placement.ts'
import { type Snapshot, snapshotOf } from './snapshot.ts'
import { codeOf } from './testing.ts'

const lease = 60_000

describe('placement from a snapshot', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 12 })
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
  })
  after(async () => {
    await database.close()
    await fresh.drop()
  })
  beforeEach(async () => {
    await database.db.execute('truncate runtimes, profiles, hosts, events, volume_removals restart identity cascade')
  })

  /** A gateway's own view of the hosts, as old as it is until `fresh` is asked for. */
  const gateway = () => {
    const snapshot = snapshotOf(database.db)
    // It does not look again by itself: what it knows is as old as a test wants it.
    const stale: Snapshot = { ...snapshot, recent: onlyOnce(snapshot.recent) }
    return { stale, placement: createPlacement({ db: database.db, imageOf: () => undefined, snapshot: stale }) }
  }
  const onlyOnce = <T>(read: () => Promise<T>) => {
    let first: Promise<T> | undefined
    return () => {
      first ??= read()
      return first
    }
  }
  let owners = 0
  const claim = async (more: Partial<NewRuntime> = {}): Promise<RuntimeRow> => {
    owners += 1
    const ownerHash = owners.toString(16).padStart(16, '0')
    const claimed = await claimOwner(database.db, wanted(`owner${owners}`, { ownerHash, ...more }), lease)
    return claimed?.row ?? assert.fail()
  }
  const hostOf = (placed: RuntimeRow | 'over-quota' | undefined) => {
    assert(typeof placed === 'object')
    return placed.hostId
  }
  const end = async (row: RuntimeRow) => {
    const deleting = (await toDeleting(database.db, row, true, lease)) ?? assert.fail()
    return (await toDeleted(database.db, deleting)) ?? assert.fail()
  }

  it('eight placers with two snapshots fill fifty hosts to the last slot, and not one more', async () => {
    const sizes = Array.from({ length: 50 }, (_, n) => 1 + (n % 4))
    for (const [n, slots] of sizes.entries()) await addHost(database.db, `h${n}`, slots)
    const capacity = sizes.reduce((sum, slots) => sum + slots, 0)
    const rows: RuntimeRow[] = []
    for (let n = 0; n < capacity; n++) rows.push(await claim())
    const gateways = [gateway(), gateway()]
    const placed: (RuntimeRow | 'over-quota' | undefined)[] = []
    await Promise.all(
      Array.from({ length: 8 }, async (_, n) => {
        for (let row = rows.pop(); row; row = rows.pop())
          placed.push(await gateways[n % 2]?.placement.place(row, lease))
      }),
    )
    assert.equal(new Set(placed.map(row => typeof row === 'object' && row.id)).size, capacity)
    for (const host of await listHosts(database.db, { limit: 100 })) {
      assert.equal(host.reservedSlots, host.slots, host.id)
      assert.equal(host.reservedMemoryBytes, host.memoryBytes, host.id)
    }
    for (const { placement } of gateways)
      await assert.rejects(placement.place(await claim(), lease), codeOf('no-capacity'))
  })

  it('a stale snapshot never overbooks: the full host refuses, and another one is tried', async () => {
    for (const id of ['h1', 'h2', 'h3']) await addHost(database.db, id, 1)
    const { placement, stale } = gateway()
    await stale.recent()
    await startOn(database.db, await claim(), 'h1', lease)
    await startOn(database.db, await claim(), 'h3', lease)
    assert.equal(hostOf(await placement.place(await claim(), lease)), 'h2')
    await assert.rejects(placement.place(await claim(), lease), error => {
      assert(error instanceof NoRoom)
      assert.match(error.message, /h1: all 1 slots are taken/)
      return error.mayWait
    })
  })

  it('starts a new one with its claim where it knows a host, and only claims it where it would have to look', async () => {
    await addHost(database.db, 'h1', 1)
    const snapshot = snapshotOf(database.db)
    const placement = createPlacement({ db: database.db, imageOf: () => undefined, snapshot })
    const owner = (name: string) => wanted(name, { ownerHash: Buffer.from(name).toString('hex').padEnd(16, '0') })
    assert.equal((await placement.claim(owner('a'), lease, 0))?.row.state, 'pending')
    await snapshot.fresh()
    const claimed = await placement.claim(owner('b'), lease, 0)
    assert.deepEqual([claimed?.row.state, claimed?.row.hostId, claimed?.created], ['starting', 'h1', true])
    // It knows by itself that the host is full now.
    assert.equal((await placement.claim(owner('c'), lease, 0))?.started, undefined)
    const again = await placement.claim(owner('b'), lease, 0)
    assert.deepEqual([again?.row.id, again?.created], [claimed?.row.id, false])
  })

  it('knows at once what it has reserved, and what others had reserved there', async () => {
    await addHost(database.db, 'h1', 10)
    const { placement, stale } = gateway()
    const { hosts } = await stale.recent()
    await startOn(database.db, await claim(), 'h1', lease)
    await placement.place(await claim(), lease)
    assert.equal(hosts[0]?.reservedSlots, 2)
  })

  it('what a moment ago was cordoned, drained, removed or went silent takes nothing', async () => {
    const ids = ['cordoned', 'drained', 'removed', 'silent', 'good']
    for (const id of ids) await addHost(database.db, id, 10)
    const { placement, stale } = gateway()
    await stale.recent()
    await setSchedulable(database.db, 'cordoned', false)
    await drainHost(database.db, 'drained', 60)
    await removeHost(database.db, 'removed', { force: false })
    await database.db.execute(`update hosts set last_seen_at = now() - interval '21 s' where id = 'silent'`)
    for (let n = 0; n < 10; n++) assert.equal(hostOf(await placement.place(await claim(), lease)), 'good')
    await assert.rejects(placement.place(await claim(), lease), error => {
      assert(error instanceof NoRoom)
      const { message } = error
      for (const [host, why] of [
        ['cordoned', 'cordoned'],
        ['drained', 'cordoned'],
        ['silent', 'silent for 20 s'],
        ['good', 'all 10 slots'],
      ])
        assert.match(message, new RegExp(`${host}: .*${why}`))
      assert.doesNotMatch(message, /removed/)
      return true
    })
  })

  it('a label that a host does not have any more is not taken for one', async () => {
    await addHost(database.db, 'h1', 10, { labels: { zone: 'a' } })
    const { placement, stale } = gateway()
    await stale.recent()
    await database.db.execute(`update hosts set labels = '{"zone": "b"}'`)
    const start = { memoryBytes: 1, cpus: 1 }
    const inZone = (zone: string) => claim({ start: { ...start, require: { zone } } })
    await assert.rejects(placement.place(await inZone('a'), lease), /do not have zone=a/)
    assert.equal(hostOf(await placement.place(await inZone('b'), lease)), 'h1')
  })

  it('a host that has just joined, or has just let one go, is found before it is said that there is none', async () => {
    await addHost(database.db, 'h1', 1)
    const { placement } = gateway()
    const first = await placement.place(await claim(), lease)
    assert(typeof first === 'object')
    await addHost(database.db, 'h2', 1)
    assert.equal(hostOf(await placement.place(await claim(), lease)), 'h2')
    await end(first)
    assert.equal(hostOf(await placement.place(await claim(), lease)), 'h1')
  })

  it('an owner who comes back anew goes where the profile is, whatever has more room', async () => {
    for (let n = 0; n < 20; n++) await addHost(database.db, `h${n}`, 100)
    const { placement } = gateway()
    const mine = { owner: 'alice', ownerHash: 'a'.repeat(16) }
    const first = await placement.place(await claim(mine), lease)
    assert(typeof first === 'object')
    const deleting = (await toDeleting(database.db, first, false, lease)) ?? assert.fail()
    await toDeleted(database.db, deleting)
    assert.equal(hostOf(await placement.place(await claim(mine), lease)), first.hostId)
  })

  it('of two who place one runtime one does, and holds what it takes once', async () => {
    for (const id of ['h1', 'h2']) await addHost(database.db, id, 10)
    const row = await claim()
    const both = await Promise.all([gateway(), gateway()].map(({ placement }) => placement.place(row, lease)))
    assert.deepEqual(both.map(placed => typeof placed).toSorted(), ['object', 'undefined'])
    const taken = (await readFigures(database.db)).reduce((sum, host) => sum + host.reservedSlots, 0)
    assert.equal(taken, 1)
  })

  it('what the snapshot reads is what the rows say', async () => {
    await addHost(database.db, 'h1', 7, {
      gpus: 2,
      diskFreeBytes: 5,
      reservedSlots: 3,
      images: ['i'],
      labels: { a: 'b' },
    })
    await addHost(database.db, 'h2', 1, { schedulable: false, lastSeenAt: null })
    const { hosts } = await snapshotOf(database.db).fresh()
    const rows = await listHosts(database.db, { limit: 10 })
    assert.equal(hosts.length, 2)
    for (const [n, { hasReported, traitsDigest, lastSeenAt, ...host }] of (
      hosts as ((typeof hosts)[number] & Record<string, unknown>)[]
    ).entries()) {
      const row = rows[n] ?? assert.fail()
      assert.equal(lastSeenAt, row.lastSeenAt === null ? null : true)
      assert.deepEqual(host, Object.fromEntries(Object.keys(host).map(key => [key, row[key as keyof typeof row]])))
    }
  })
})
