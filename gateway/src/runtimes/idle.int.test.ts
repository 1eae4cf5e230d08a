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
  nextEnd,
  putTenant,
  type RuntimeRow,
  setIdle,
  touch,
  updateTenant,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { freshDatabase } from '../../../test/kit/database.ts'
import { eventually } from '../../../test/kit/eventually.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { AgentUnreachable } from '../agents/client.ts'
import { type Changes, listenForChanges } from './changes.ts'
import { leaseMs } from './driver.ts'
import { type IdleWatch, watchIdle } from './idle.ts'
import { withLastUse } from './idle-ask.ts'
import { createUseAsker, type UseAsker } from './idle-hosts.ts'
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
      withLastUse: (row, ms) => withLastUse({ db: database.db, agents: host.agents }, row, ms),
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
  const another = (db = database.db, asker?: UseAsker): IdleWatch => {
    const made = watchIdle({
      ...{ db, agents: host.agents, driver: gateway.driver, log, leaseMs },
      everyMs: 600_000,
      ...(asker && { asker }),
    })
    watches.push(made)
    return made
  }
  const rowOf = async (id: string) => (await findRuntimeById(database.db, id)) ?? assert.fail()
  const reached = async (id: string, state: RuntimeRow['state']) =>
    (await changes.until(id, row => row.state === state, 10_000)) ?? assert.fail(`it was not ${state} in 10 s`)
  const eventsOf = async (id: string) =>
    (await listEvents(database.db, await rowOf(id), 0, 50)).map(({ type, reason }) =>
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
      `update runtimes set created_at = created_at - ${by}, state_at = state_at - ${by}, warned_for = warned_for - ${by}, last_used_at = last_used_at - ${by}, idle_at = now() where id = '${id}'`,
    )
    if (host.containers.has(id)) unusedFor(id, seconds)
  }
  /** As if its owner had been warned a minute ago, by a look that came late. */
  const lateLook = async (watch: IdleWatch, ...ids: string[]) => {
    await watch.look()
    for (const id of ids) {
      assert.equal((await eventsOf(id)).at(-1)?.split(' ')[0], 'expiring')
      await database.db.execute(
        `update runtimes set warned_for = now(), state_at = state_at - interval '1 minute', idle_at = now() where id = '${id}'`,
      )
    }
    await watch.look()
  }
  const due = (id: string) => database.db.execute(`update runtimes set idle_at = now() where id = '${id}'`)
  const running = async (owner: string, idle: IdlePolicy, more = {}) =>
    (await gateway.ensure(wanted(owner, { idle, ...more }), 10_000)).row

  it('is paused, then stopped, then deleted, each in its time, and its profile is kept', async () => {
    const watch = another()
    const { id } = await running('alice', { pauseAfter: 300, stopAfter: 900, deleteAfter: 3600 })
    await age(id, 301)
    await lateLook(watch, id)
    await reached(id, 'paused')
    await age(id, 600)
    await lateLook(watch, id)
    await reached(id, 'stopped')
    assert.equal(host.containers.size, 0)
    await age(id, 2700)
    await lateLook(watch, id)
    const row = await reached(id, 'deleted')
    assert.deepEqual((await eventsOf(id)).slice(3), [
      'expiring idle',
      'paused idle',
      'expiring idle',
      'stopping idle',
      'stopped',
      'expiring idle',
      'deleting idle',
      'deleted',
    ])
    assert(await findProfile(database.db, row))
  })

  it('what a task leaves goes with it', async () => {
    const { id } = await running('job', { deleteAfter: 900 }, { mode: 'docker-per-task' })
    await age(id, 901)
    await lateLook(another(), id)
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
    const watch = another()
    await watch.look()
    const warned = await rowOf(id)
    assert.equal(warned.state, 'running', 'nobody had been warned')
    assert(Math.abs(Number(warned.warnedFor) - Date.now() - 60_000) < 5000)
    await touch(database.db, id)
    await due(id)
    await watch.look()
    assert.equal((await rowOf(id)).state, 'running', 'its minute is not over')
    await lateLook(watch, id)
    await reached(id, 'deleted')
    assert.deepEqual((await eventsOf(id)).slice(3), ['expiring max-age', 'deleting max-age', 'deleted'])
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

  it('an age that was set too late for a warning ends it a minute later, and one that is taken back does not', async () => {
    const watch = another()
    for (const [owner, isTakenBack] of [
      ['kept', false],
      ['taken back', true],
    ] as const) {
      const { id } = await running(owner, {}, { ownerHash: isTakenBack ? 'a'.repeat(16) : 'b'.repeat(16) })
      await age(id, 5000)
      await setIdle(database.db, id, { maxAge: 600 })
      await watch.look()
      const row = await rowOf(id)
      assert.equal(row.state, 'running')
      assert(Number(nextEnd(row, new Date())?.at) > Date.now() + 30_000)
      if (isTakenBack) await setIdle(database.db, id, {})
      await database.db.execute(`update runtimes set warned_for = now(), idle_at = now() where id = '${id}'`)
      await watch.look()
      if (isTakenBack) assert.equal((await rowOf(id)).state, 'running')
      else await reached(id, 'deleted')
    }
  })

  it('one host that hangs is waited for once, and holds up no other', async () => {
    const rows: RuntimeRow[] = []
    for (let n = 0; n < 6; n += 1) rows.push(await running(`owner${n}`, { stopAfter: 900 }))
    const aged = await running('aged', { maxAge: 900 })
    for (const { id } of [...rows, aged]) await age(id, 901)
    let asked = 0
    host.script.probe = () => {
      asked += 1
      return new Promise(() => {})
    }
    const asker = createUseAsker({ agents: host.agents, log, ms: 200 })
    const watch = another(database.db, asker)
    await watch.look()
    assert((await rowOf(aged.id)).warnedFor)
    assert.equal(asked, 2)
    for (const { id } of rows) await due(id)
    await watch.look()
    assert.equal(asked, 2, 'it is left alone for a while')
    for (const { id } of rows) assert.equal((await rowOf(id)).state, 'running')
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
    const looks = () => Promise.all(fleet.flatMap(watch => [watch.look(), watch.look()]))
    await looks()
    await database.db.execute(
      `update runtimes set warned_for = now(), state_at = now() - interval '1 hour', idle_at = now() where warned_for > now()`,
    )
    await looks()
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

  it('whoever wants room waits once for the word of hosts, not for one after the other', async () => {
    await putTenant(database.db, { slug: 'crowded', mode: 'docker-per-principal' })
    await updateTenant(database.db, 'crowded', { maxRuntimes: 4, atCap: 'pause-oldest' })
    const owners = ['a', 'b', 'c', 'left open']
    const rows: RuntimeRow[] = []
    for (const [n, owner] of owners.entries())
      rows.push(await running(owner, {}, { tenant: 'crowded', ownerHash: String(n).repeat(16) }))
    for (const [n, { id, owner }] of rows.entries()) {
      await age(id, 900 - n * 100)
      if (owner !== 'left open') unusedFor(id, 1)
    }
    await database.db.execute(`update runtimes set state_at = now() - interval '1 hour'`)
    let asked = 0
    const { promise: allAsked, resolve } = Promise.withResolvers<void>()
    host.script.probe = async () => {
      asked += 1
      if (asked === owners.length) resolve()
      await allAsked
    }
    await running('new', {}, { tenant: 'crowded', ownerHash: 'f'.repeat(16) })
    const after = await Promise.all(rows.map(({ id }) => rowOf(id)))
    assert.deepEqual(
      after.filter(({ state }) => state === 'paused').map(({ owner }) => owner),
      ['left open'],
    )
  })

  it('somebody who asks for it while it stops has it started again', async () => {
    const { id } = await running('alice', { stopAfter: 900 })
    await age(id, 901)
    const { promise, resolve } = Promise.withResolvers<void>()
    host.script.stop = () => promise
    await lateLook(another(), id)
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
    const { row } = await gateway.ensure(wanted('alice'), 10_000, { idle: () => ({ stopAfter: 900 }) })
    assert.deepEqual([row.state, row.generation, row.idle], ['running', 1, { stopAfter: 900 }])
    assert.equal((await rowOf(id)).state, 'running')
  })

  it('rules that an ensure names are asked of the spec that the runtime has', async () => {
    const { id } = await running('alice', { stopAfter: 900 }, { spec: 'site' })
    const specs: string[] = []
    const idle = (spec: string) => {
      specs.push(spec)
      return { maxAge: 60 }
    }
    await gateway.ensure(wanted('alice'), 10_000, { idle })
    await gateway.ensure(wanted('bob'), 10_000, { idle })
    assert.deepEqual([specs, (await rowOf(id)).idle], [['site'], { maxAge: 60 }])
  })

  it('one that is stopped is used by whoever asks for it, before they wait', async () => {
    const { id } = await running('alice', { deleteAfter: 900 })
    await gateway.stop(await rowOf(id), 10_000)
    await age(id, 901)
    const { promise, resolve } = Promise.withResolvers<void>()
    host.script.start = () => promise
    await gateway.start(await rowOf(id), 0)
    assert(Date.now() - (await rowOf(id)).lastUsedAt.getTime() < 60_000)
    resolve()
    await reached(id, 'running')
  })

  it('one that is waited for in line is not stopped meanwhile, however long that takes', async () => {
    await putTenant(database.db, { slug: 'lined', mode: 'docker-per-principal' })
    await updateTenant(database.db, 'lined', { maxRuntimes: 1, atCap: 'queue', queueLimit: 5 })
    const owned = (owner: string, ownerHash: string) =>
      running(owner, { stopAfter: 900 }, { tenant: 'lined', ownerHash })
    const { id } = await owned('waiting', 'a'.repeat(16))
    await gateway.pause(await rowOf(id), 10_000)
    const { id: other } = await owned('other', 'b'.repeat(16))
    const watch = another()
    const lookOldOnceInLine = async () => {
      await age(id, 901)
      await eventually(async () => assert(Date.now() - (await rowOf(id)).lastUsedAt.getTime() < 60_000), 10_000)
      await due(id)
      await watch.look()
      assert.equal((await rowOf(id)).state, 'paused')
    }
    await age(id, 901)
    const woken = gateway.start(await rowOf(id), 30_000)
    await eventually(async () => assert((await rowOf(id)).lineSince))
    await due(id)
    await watch.look()
    assert.equal((await rowOf(id)).state, 'paused')
    await lookOldOnceInLine()
    await gateway.stop(await rowOf(other), 10_000)
    assert.equal((await woken).state, 'running')
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
