import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { sql } from 'drizzle-orm'
import { migratedDatabase } from '../../test/kit/migrated.ts'
import { findHost, findProfile } from './hosts.ts'
import { standInLine } from './room.ts'
import { CreatesExceeded, claimOwner, createOn, findLive, findRuntimeById, listEvents, startOn } from './runtimes.ts'
import type { RuntimeRow } from './schema.ts'
import { findTenant, putTenant, updateTenant } from './tenants.ts'
import { addHost, wanted } from './testing.ts'

const lease = 60_000

describe('a runtime created on a host', { concurrency: false }, () => {
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
    await putTenant(db(), { slug: 'default', mode: 'docker-per-principal' })
    await addHost(db(), 'h1', 2)
  })

  const create = async (owner: string, host: string | null = 'h1') =>
    (await createOn(db(), wanted(owner), host, lease, 5000)) ?? assert.fail()
  const eventsOf = async (row: RuntimeRow) =>
    (await listEvents(db(), row, 0, 10)).map(({ type, generation, fromState, toState, data }) => ({
      ...{ type, generation, fromState, toState, data },
    }))
  const slotsOf = async (host: string) => (await findHost(db(), host))?.reservedSlots
  const usedBy = async (slug: string) => (await findTenant(db(), slug))?.usedRuntimes

  it('starts there in the same transaction, with an event of each move', async () => {
    const { row, created, started } = await create('alice')
    assert.equal(created, true)
    assert.equal(started?.outcome, row)
    assert.deepEqual(started?.reserved, {
      ...{ reservedMemoryBytes: 1000, reservedCpuMillis: 100, reservedSlots: 1, reservedGpus: 0 },
    })
    assert.deepEqual(await eventsOf(row), [
      { type: 'runtime.pending', generation: 0, fromState: null, toState: 'pending', data: {} },
      { type: 'runtime.starting', generation: 1, fromState: 'pending', toState: 'starting', data: { host: 'h1' } },
    ])
    assert.equal((await findProfile(db(), row))?.hostId, 'h1')
    assert.equal(await slotsOf('h1'), 1)
    assert.equal(await usedBy('default'), 1)
  })

  it('is the row that a claim and a start make', async () => {
    const { row } = await create('alice')
    const claimed = (await claimOwner(db(), wanted('bob'), lease, 5000)) ?? assert.fail()
    const other = await startOn(db(), claimed.row, 'h1', lease)
    assert(typeof other === 'object')
    const own = ['id', 'owner', 'ownerHash', 'createdAt', 'lastUsedAt', 'stateAt', 'workUntil', 'waitUntil'] as const
    const same = (one: RuntimeRow) => ({ ...one, ...Object.fromEntries(own.map(key => [key, typeof one[key]])) })
    assert.deepEqual(same(row), same(other))
    assert.deepEqual(row, await findRuntimeById(db(), row.id))
  })

  it('waits in pending where the host refuses it, as if it had only been claimed', async () => {
    await updateTenant(db(), 'default', { createsPerMinute: 5 })
    await addHost(db(), 'full', 0)
    const { row, created, started, allowance } = await create('alice', 'full')
    assert.deepEqual([created, started?.outcome, row.state, row.generation], [true, 'full', 'pending', 0])
    assert.deepEqual([row.hostId, row.reserved, row.counted], [null, false, false])
    assert.deepEqual(
      (await eventsOf(row)).map(({ type }) => type),
      ['runtime.pending'],
    )
    assert.equal(await findProfile(db(), row), undefined)
    assert.equal(await usedBy('default'), 0)
    // What was undone is not counted as a create.
    assert.equal(allowance?.remaining, 4)
    assert.equal((await startOn(db(), row, 'h1', lease)) instanceof Object, true)
  })

  it('takes no more than its tenant may have, however many are created at once', async () => {
    await updateTenant(db(), 'default', { maxRuntimes: 1 })
    const all = await Promise.all(Array.from({ length: 10 }, (_, n) => create(`owner${n}`)))
    assert.equal(all.filter(({ row }) => row.state === 'starting').length, 1)
    assert.equal(
      all.filter(({ row, started }) => row.state === 'pending' && started?.outcome === 'over-quota').length,
      9,
    )
    assert.deepEqual([await slotsOf('h1'), await usedBy('default')], [1, 1])
  })

  it('takes no more than the host has, however many are created at once', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, (_, n) => create(`owner${n}`)))
    assert.equal(all.filter(({ row }) => row.state === 'starting').length, 2)
    assert.equal(all.filter(({ started }) => started?.outcome === 'full').length, 8)
    assert.equal(await slotsOf('h1'), 2)
  })

  it('is one, however often its owner is created at once', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => create('alice')))
    assert.equal(all.filter(({ created }) => created).length, 1)
    assert.equal(new Set(all.map(({ row }) => row.id)).size, 1)
    assert.equal(await slotsOf('h1'), 1)
  })

  it('is behind who stands in line for room on that host', async () => {
    const { row } = await create('first', null)
    const standing = await standInLine(db(), row, 'hosts')
    assert(typeof standing === 'object')
    assert.equal((await create('second')).started?.outcome, 'behind')
  })

  it('does not start where its profile is not', async () => {
    await addHost(db(), 'h2', 2)
    const { row } = await create('alice', 'h2')
    await db().execute(
      sql`update runtimes set state = 'deleted', reserved = false, counted = false where id = ${row.id}`,
    )
    const again = await create('alice', 'h1')
    assert.deepEqual([again.row.state, again.started?.outcome], ['pending', 'moving'])
    assert.equal(await slotsOf('h1'), 0)
  })

  it('leaves nothing where its tenant has created too many', async () => {
    await updateTenant(db(), 'default', { createsPerMinute: 1 })
    await create('alice')
    await assert.rejects(create('bob'), CreatesExceeded)
    assert.equal(await findLive(db(), wanted('bob')), undefined)
    assert.equal(await slotsOf('h1'), 1)
  })
})
