import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import {
  connect,
  type Database,
  findProfile,
  findRuntimeById,
  type IdlePolicy,
  listEvents,
  migrate,
  putTenant,
  type RuntimeRow,
  touch,
  updateTenant,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { freshDatabase } from '../../../test/kit/database.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { AgentUnreachable } from '../agents/client.ts'
import { type Changes, listenForChanges } from './changes.ts'
import { leaseMs } from './driver.ts'
import { type IdleWatch, watchIdle } from './idle.ts'
import { withLastUse } from './idle-ask.ts'
import { openRoom, type Room } from './room.ts'
import { fakeHost, type TestGateway, testGateway } from './testing.ts'

describe('runtimes that nobody uses', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let changes: Changes
  let host: ReturnType<typeof fakeHost>
  let gateway: TestGateway
  let room: Room
  let watches: IdleWatch[]
  const log = testLog('idle')

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 30 })
    changes = await listenForChanges(database)
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    room = await openRoom({
      database,
      leaseMs,
      carryOut: row => gateway.driver.take(row),
      withLastUse: row => withLastUse({ db: database.db, agents: host.agents }, row),
    })
  })
  after(async () => {
    await Promise.all([changes.close(), room.close()])
    await database.close()
    await fresh.drop()
  })
  beforeEach(async () => {
    await database.db.execute('truncate runtimes, profiles, hosts, events restart identity cascade')
    await addHost(database.db, 'h1', 50, { lastSeenAt: new Date(Date.now() + 600_000) })
    host = fakeHost()
    gateway = testGateway({ database, changes, room: () => room, host, log })
    watches = []
  })
  afterEach(async () => {
    await Promise.all(watches.map(watch => watch.stop()))
    await gateway.driver.close(1000)
  })

  /** Looks only when it is told to. */
  const another = (db = database.db): IdleWatch => {
    const made = watchIdle({
      ...{ db, agents: host.agents, driver: gateway.driver, log, leaseMs },
      everyMs: 600_000,
    })
    watches.push(made)
    return made
  }
  const rowOf = async (id: string) => (await findRuntimeById(database.db, id)) ?? assert.fail()
  const reached = async (id: string, state: RuntimeRow['state']) =>
    (await changes.until(id, row => row.state === state, 10_000)) ?? assert.fail(`it was not ${state} in 10 s`)
  const eventsOf = async (id: string) =>
    (await listEvents(database.db, id, 0, 50)).map(({ type, reason }) =>
      `${type.replace('runtime.', '')} ${reason ?? ''}`.trim(),
    )

  /** As its host sees it. */
  const unusedFor = (id: string, seconds: number | undefined) => {
    const { unusedMs: _, ...facts } = host.containers.get(id) ?? assert.fail()
    host.containers.set(id, seconds === undefined ? facts : { ...facts, unusedMs: seconds * 1000 })
  }
  /** As if it had been so long ago, for all that the row and its host know. */
  const age = async (id: string, seconds: number) => {
    const by = `make_interval(secs => ${seconds})`
    await database.db.execute(
      `update runtimes set created_at = created_at - ${by}, last_used_at = last_used_at - ${by}, idle_at = now() where id = '${id}'`,
    )
    if (host.containers.has(id)) unusedFor(id, seconds)
  }
  const due = (id: string) => database.db.execute(`update runtimes set idle_at = now() where id = '${id}'`)
  const running = async (owner: string, idle: IdlePolicy, more = {}) =>
    (await gateway.ensure(wanted(owner, { idle, ...more }), 10_000)).row

  it('is paused, then stopped, then deleted, each in its time, and its profile is kept', async () => {
    const watch = another()
    const { id } = await running('alice', { pauseAfter: 300, stopAfter: 900, deleteAfter: 3600 })
    await age(id, 301)
    await watch.look()
    await reached(id, 'paused')
    await age(id, 600)
    await watch.look()
    await reached(id, 'stopped')
    assert.equal(host.containers.size, 0)
    await age(id, 2700)
    await watch.look()
    const row = await reached(id, 'deleted')
    assert.deepEqual((await eventsOf(id)).slice(3), [
      'paused idle',
      'stopping idle',
      'stopped',
      'deleting idle',
      'deleted',
    ])
    assert(await findProfile(database.db, row))
  })

  it('what a task leaves goes with it', async () => {
    const { id } = await running('job', { deleteAfter: 900 }, { mode: 'docker-per-task' })
    await age(id, 901)
    await another().look()
    await reached(id, 'deleted')
    assert(host.calls.includes('remove with volume'))
  })

  it('is not stopped while its host sees it used, whatever the row says', async () => {
    const watch = another()
    const { id } = await running('alice', { stopAfter: 900 })
    await age(id, 5000)
    unusedFor(id, 100)
    await watch.look()
    const row = await rowOf(id)
    assert.equal(row.state, 'running')
    assert(Date.now() - row.lastUsedAt.getTime() < 200_000)
    assert.deepEqual((await eventsOf(id)).slice(3), [])
  })

  it('is not stopped, nor warned of that, while its host cannot say', async () => {
    const watch = another()
    const { id } = await running('alice', { stopAfter: 900 })
    for (const cannot of [
      () => unusedFor(id, undefined),
      () => {
        host.script.probe = async () => {
          throw new AgentUnreachable('cut')
        }
      },
      () => database.db.execute(`update hosts set last_seen_at = now() - interval '30 s'`),
    ]) {
      await age(id, 2000)
      host.script.probe = async () => {}
      await cannot()
      assert.equal(await watch.look(), 1)
      assert.equal((await rowOf(id)).state, 'running')
      const again = (await rowOf(id)).idleAt ?? assert.fail()
      assert(again.getTime() > Date.now(), 'it is looked at again, later')
    }
    assert.deepEqual((await eventsOf(id)).slice(3), [])
  })

  it('its age waits for no host, and for no user', async () => {
    const { id } = await running('alice', { maxAge: 600 })
    await age(id, 601)
    await touch(database.db, id)
    host.script.probe = async () => {
      throw new AgentUnreachable('cut')
    }
    await another().look()
    await reached(id, 'deleted')
    assert((await eventsOf(id)).includes('deleting max-age'))
  })

  it('use while its host is asked wins', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    await age(id, 1000)
    host.script.probe = async () => {
      await touch(database.db, id)
    }
    await another().look()
    assert.equal((await rowOf(id)).state, 'running')
  })

  it('use between the word of its host and the end wins too', async () => {
    for (const step of ['pauseAfter', 'stopAfter', 'deleteAfter']) {
      const { id } = await running(step, { [step]: 900 })
      await age(id, 1000)
      const { executeKept } = database.db
      let asked = 0
      const slow = async (statement: Parameters<typeof executeKept>[0]) => {
        const rows = await executeKept(statement)
        // The first takes it, the second notes what its host has said.
        if (++asked === 2) await touch(database.db, id)
        return rows
      }
      await another(Object.create(database.db, { executeKept: { value: slow } })).look()
      assert(asked >= 2)
      assert.equal((await rowOf(id)).state, 'running', step)
    }
  })

  it('its owner is warned once of each end, and again after use', async () => {
    const watch = another()
    const { id } = await running('alice', { stopAfter: 900 })
    await age(id, 845)
    for (let n = 0; n < 3; n += 1) {
      await due(id)
      await watch.look()
    }
    assert.deepEqual((await eventsOf(id)).slice(3), ['expiring idle'])
    await touch(database.db, id)
    unusedFor(id, 0)
    await due(id)
    await watch.look()
    assert.deepEqual((await eventsOf(id)).slice(3), ['expiring idle'])
    await age(id, 850)
    await watch.look()
    assert.deepEqual((await eventsOf(id)).slice(3), ['expiring idle', 'expiring idle'])
    await age(id, 51)
    unusedFor(id, 901)
    await watch.look()
    await reached(id, 'stopped')
    assert.deepEqual((await eventsOf(id)).slice(5), ['stopping idle', 'stopped'])
  })

  it('one that is used is looked at again in time, and not before', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    await due(id)
    await another().look()
    const { idleAt, lastUsedAt } = await rowOf(id)
    assert.equal(idleAt && Math.round((idleAt.getTime() - lastUsedAt.getTime()) / 1000), 837)
    assert.deepEqual(host.calls, ['start 1'])
  })

  it('among many gateways none that was used in time is stopped, and none is stopped twice', async () => {
    const rows: RuntimeRow[] = []
    for (let n = 0; n < 30; n += 1) rows.push(await running(`owner${n}`, { stopAfter: 900 }))
    const isUsed = (n: number) => n % 2 === 0
    for (const [n, { id }] of rows.entries()) {
      await age(id, 901)
      if (isUsed(n)) unusedFor(id, 10)
    }
    const fleet = Array.from({ length: 5 }, () => another())
    const looks = Promise.all(fleet.flatMap(watch => [watch.look(), watch.look()]))
    await looks
    for (const [n, { id }] of rows.entries()) {
      const row = isUsed(n) ? await rowOf(id) : await reached(id, 'stopped')
      assert.equal(row.state, isUsed(n) ? 'running' : 'stopped', `owner${n}`)
      const stops = (await eventsOf(id)).filter(event => event === 'stopping idle').length
      assert.equal(stops, isUsed(n) ? 0 : 1, `owner${n}`)
    }
    assert.equal(host.calls.filter(call => call === 'stop').length, 15)
  })

  for (const [tenant, isAsked, chosen] of [
    ['asked', true, 'left open'],
    ['silent', false, 'typing'],
  ] as const)
    it(`room is made with the one unused for longest, as its host sees it (${tenant})`, async () => {
      await putTenant(database.db, { slug: tenant, mode: 'docker-per-principal' })
      await updateTenant(database.db, tenant, { maxRuntimes: 2, atCap: 'pause-oldest' })
      const owned = (owner: string, ownerHash: string) => running(owner, {}, { tenant, ownerHash })
      const typing = await owned('typing', 'a'.repeat(16))
      const left = await owned('left open', 'b'.repeat(16))
      await age(typing.id, 900)
      await age(left.id, 300)
      unusedFor(typing.id, 1)
      await database.db.execute(`update runtimes set state_at = now() - interval '1 hour'`)
      host.script.probe = async () => {
        if (!isAsked) throw new AgentUnreachable('cut')
      }
      await owned('new', 'c'.repeat(16))
      const paused = await Promise.all([typing, left].map(({ id }) => rowOf(id)))
      assert.deepEqual(
        paused.filter(({ state }) => state === 'paused').map(({ owner }) => owner),
        [chosen],
      )
    })

  it('somebody who asks for it while it stops has it started again', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    await age(id, 901)
    const { promise, resolve } = Promise.withResolvers<void>()
    host.script.stop = () => promise
    await another().look()
    const ensured = gateway.ensure(wanted('alice'), 10_000)
    resolve()
    const { row } = await ensured
    assert.deepEqual([row.id, row.state, row.generation], [id, 'running', 2])
    assert.deepEqual(row.idle, { stopAfter: 900 }, 'its rules are those that it was made with')
  })

  it('an ensure that names rules has them hold from then on, and counts as use first', async () => {
    const { id } = await running('alice', { stopAfter: 5000 })
    await age(id, 901)
    const watch = another()
    host.script.probe = async () => {
      await watch.look()
    }
    const { row } = await gateway.ensure(wanted('alice'), 10_000, { idle: { stopAfter: 900 } })
    assert.deepEqual([row.state, row.generation, row.idle], ['running', 1, { stopAfter: 900 }])
    assert.equal((await rowOf(id)).state, 'running')
  })

  it('an ensure counts as use before it looks whether the runtime is well', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    await age(id, 901)
    const watch = another()
    host.script.probe = async () => {
      host.script.probe = async () => {}
      await watch.look()
    }
    const { row } = await gateway.ensure(wanted('alice'), 10_000)
    assert.deepEqual([row.state, row.generation], ['running', 1])
    assert.equal((await rowOf(id)).state, 'running')
  })
})
