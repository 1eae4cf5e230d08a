import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import {
  connect,
  type Database,
  findRuntimeById,
  listRuntimesOnHost,
  migrate,
  type NewRuntime,
  putTenant,
  type RuntimeRow,
  warmTenant,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { pino } from 'pino'
import { freshDatabase } from '../../../test/kit/database.ts'
import { eventually } from '../../../test/kit/eventually.ts'
import { type Changes, listenForChanges } from './changes.ts'
import { leaseMs } from './driver.ts'
import { createPlacement } from './placement.ts'
import { openRoom, type Room } from './room.ts'
import { type Demand, demandOf } from './score.ts'
import type { Spec, WarmSize } from './specs.ts'
import { builtInSpecs } from './specs.ts'
import { fakeHost, refusal, type TestGateway, testGateway } from './testing.ts'
import { keepWarm, type WarmPool } from './warm.ts'
import { warmFor } from './warm-kind.ts'

const log = pino({ level: 'silent' })
const [browser = assert.fail()] = builtInSpecs
/** As small as the tests' hosts: a slot of theirs each. */
const spec = (warm: WarmSize, more: Partial<Spec['recipe']> = {}): Spec => ({
  ...browser,
  ...{ warm, memoryShare: 0.5, cpuShare: 0.1 },
  recipe: { ...browser.recipe, memoryBytes: 2000, cpus: 1, ...more },
})

describe('the warm pool', () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let changes: Changes
  let room: Room
  let host: ReturnType<typeof fakeHost>
  let gateway: TestGateway
  let pools: WarmPool[]
  let specs: Spec[]

  const addGateway = () => {
    const pool: WarmPool = keepWarm({
      ...{ db: database.db, driver: gateway.driver, changes, log, leaseMs },
      specs: { warm: () => specs.filter(({ warm }) => warm !== 0) },
    })
    pools.push(pool)
    return pool
  }

  beforeEach(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 10 })
    changes = await listenForChanges(database)
    host = fakeHost()
    pools = []
    specs = []
    gateway = testGateway({
      ...{ database, changes, host, log },
      room: () => room,
      makeRoom: async (demand, on) => (await pools[0]?.makeRoom(demand, on)) ?? false,
    })
    room = await openRoom({ database, leaseMs, carryOut: row => gateway.driver.take(row) })
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    await addHost(database.db, 'h1', 4)
  })
  afterEach(async () => {
    await Promise.all(pools.map(pool => pool.stop()))
    await gateway.driver.close(1000)
    await Promise.all([changes.close(), room.close()])
    await database.close()
    await fresh.drop()
  })

  const warmOn = async (hostId: string): Promise<RuntimeRow[]> =>
    (await listRuntimesOnHost(database.db, hostId)).filter(({ tenant }) => tenant === warmTenant)
  const untilWarm = (count: number, hostId = 'h1', withinMs = 10_000) =>
    eventually(async () => {
      const rows = await warmOn(hostId)
      assert.equal(rows.filter(({ state }) => state === 'running').length, count)
      return rows
    }, withinMs)
  const asking = (owner: string, of: Spec | undefined = specs[0]): NewRuntime => {
    const asked = wanted(owner)
    return { ...asked, warm: of && warmFor(of, asked, {}) }
  }

  it('keeps as many on each host as it is told, and makes anew those that were given away', async () => {
    await addHost(database.db, 'h2', 4)
    specs = [spec(1)]
    addGateway()
    const [[first = assert.fail()]] = await Promise.all([untilWarm(1, 'h1'), untilWarm(1, 'h2')])
    assert.equal(first.labels.fingerprint, asking('alice').warm)
    const { row, created } = await gateway.ensure(asking('alice'), 5000)
    assert.deepEqual([created, row.state, row.generation, row.owner], [true, 'running', 2, 'alice'])
    const there = host.containers.get(row.id)
    assert.deepEqual([there?.generation, there?.ownerHash], [2, row.ownerHash])
    await Promise.all([untilWarm(1, 'h1'), untilWarm(1, 'h2')])
    assert.equal(host.containers.size, 3)
  })

  it('is no larger for being looked after by several gateways', async () => {
    specs = [spec(2)]
    let most = 0
    host.script.start = async () => {
      most = Math.max(most, (await warmOn('h1')).length)
    }
    for (let n = 0; n < 4; n += 1) addGateway()
    await untilWarm(2)
    await gateway.ensure(asking('alice'), 5000)
    await untilWarm(2)
    assert.equal(most, 2)
  })

  it('ends what a changed spec no longer makes, and everything once none is wanted', async () => {
    specs = [spec(1)]
    addGateway()
    const [old = assert.fail()] = await untilWarm(1)
    specs = [spec(1, { env: { A: 'b' } })]
    assert.notEqual(asking('alice').warm, old.labels.fingerprint)
    // The old one is not given to who asks for the new kind.
    const [, made = assert.fail()] = (await untilWarm(2)).toSorted((a, b) => (a.id < b.id ? -1 : 1))
    const { row } = await gateway.ensure(asking('alice'), 5000)
    assert.equal(row.id, made.id)
    specs = []
    const aMinute = new Date(Date.now() - 61_000)
    await database.db.$client`update runtimes set created_at = ${aMinute.toISOString()} where tenant = ${warmTenant}`
    await eventually(async () => assert.deepEqual(await warmOn('h1'), []))
    assert.deepEqual([...host.containers.keys()], [row.id])
  })

  it('tries no more for a minute where one has failed, and leaves nothing of it', async () => {
    specs = [spec(1)]
    let starts = 0
    host.script.start = async () => {
      starts += 1
      throw refusal('runtime-exited')
    }
    addGateway()
    await eventually(() => assert.equal(starts, 1))
    await eventually(async () => assert.deepEqual(await warmOn('h1'), []))
    const [{ wait = 0 } = {}] = await database.db.$client<{ wait: number }[]>`
      select extract(epoch from fill_from - now())::float8 as wait from hosts where id = 'h1'`
    assert.ok(wait > 50 && wait <= 60, `tried again in ${wait} s`)
    assert.equal(starts, 1)
  })

  it('has no other host start what one has refused', async () => {
    await addHost(database.db, 'h2', 4)
    specs = [spec(1)]
    let refusals = 0
    host.script.start = async runtimeId => {
      // Both hosts may be told to start one at the same moment.
      if (!(await warmOn('h1')).some(({ id }) => id === runtimeId)) return
      refusals += 1
      throw refusal('no-room')
    }
    addGateway()
    await untilWarm(1, 'h2')
    await eventually(async () => assert.deepEqual([refusals, await warmOn('h1')], [1, []]))
    assert.equal((await warmOn('h2')).length, 1)
  })

  it('makes way for many who come at once', async () => {
    specs = [spec(3)]
    addGateway()
    await untilWarm(3)
    const asked = ['a', 'b', 'c', 'd'].map(async owner => {
      const { row } = await gateway.ensure(wanted(owner), 0)
      return changes.until(row.id, ({ state }) => state === 'running' || state === 'failed', 10_000)
    })
    assert.deepEqual(
      (await Promise.all(asked)).map(row => row?.state),
      Array(4).fill('running'),
    )
  })

  it('makes way for who finds no room otherwise, also where they do not wait', async () => {
    specs = [spec(3)]
    addGateway()
    // Never the last slot.
    await untilWarm(3)
    const demand = demandOf(wanted('x'), 'spread', undefined)
    const larger = { ...demand, cpuMillis: 3 * demand.cpuMillis }
    const placement = createPlacement({ db: database.db, imageOf: () => undefined })
    const fits = async (need: Demand) => (await placement.explain(need)).map(({ reason }) => reason === undefined)
    assert.deepEqual([await fits(larger), await fits({ ...larger, cpuMillis: 5000 })], [[true], [false]])
    specs = [spec(3, { env: { A: 'b' } })]
    const cold = async (owner: string) => {
      const { row } = await gateway.ensure(wanted(owner), 0)
      return (await changes.until(row.id, ({ state }) => state !== 'pending' && state !== 'starting', 10_000)) ?? row
    }
    for (const owner of ['a', 'b', 'c', 'd']) assert.equal((await cold(owner)).state, 'running')
    const refused = await cold('e')
    assert.deepEqual([refused.state, refused.error?.code], ['failed', 'no-capacity'])
    assert.deepEqual(await warmOn('h1'), [])
  })

  it('by itself keeps none until somebody has come, and then as many as came at once', async () => {
    specs = [spec('auto')]
    const { row } = await gateway.ensure(asking('alice'), 5000)
    assert.equal(row.generation, 1)
    addGateway()
    await untilWarm(1)
    const next = await gateway.ensure(asking('bob'), 5000)
    assert.equal(next.row.generation, 2)
    assert.equal((await findRuntimeById(database.db, next.row.id))?.tenant, 'default')
  })
})
