import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import {
  connect,
  type Database,
  findHost,
  findRuntimeById,
  findTenant,
  migrate,
  putTenant,
  type RuntimeRow,
  type TenantSettings,
  updateTenant,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { freshDatabase } from '../../../test/kit/database.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { AgentUnreachable } from '../agents/client.ts'
import { type Changes, listenForChanges } from './changes.ts'
import { leaseMs } from './driver.ts'
import { createPlacement } from './placement.ts'
import { openRoom, type Room } from './room.ts'
import { demandOf } from './score.ts'
import { codeOf, fakeHost, refusal, type TestGateway, testGateway } from './testing.ts'

describe('room in a tenant', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let changes: Changes
  let host: ReturnType<typeof fakeHost>
  let gateways: { gateway: TestGateway; room: Room }[]

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 30 })
    changes = await listenForChanges(database)
  })
  after(async () => {
    await changes.close()
    await database.close()
    await fresh.drop()
  })
  beforeEach(async () => {
    await database.db.execute(
      'truncate runtimes, profiles, hosts, events, tenants, volume_removals restart identity cascade',
    )
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    await addHost(database.db, 'h1', 100)
    host = fakeHost()
    gateways = []
  })
  afterEach(async () => {
    await Promise.all(gateways.map(({ gateway }) => gateway.driver.close(1000)))
    await Promise.all(gateways.map(({ room }) => room.close()))
  })

  /** A gateway of its own: with its own line to the database's hints. */
  const another = async (): Promise<TestGateway> => {
    const room = await openRoom({ database, leaseMs, carryOut: row => gateway.driver.take(row) })
    const gateway = testGateway({ database, changes, room: () => room, host, log: testLog('room') })
    gateways.push({ gateway, room })
    return gateway
  }
  const set = (settings: Partial<TenantSettings>) => updateTenant(database.db, 'default', settings)
  const used = async () => {
    const { usedRuntimes, usedMemoryBytes } = (await findTenant(database.db, 'default')) ?? assert.fail()
    return { runtimes: usedRuntimes, memory: usedMemoryBytes }
  }
  const rowOf = async (id: string): Promise<RuntimeRow> => (await findRuntimeById(database.db, id)) ?? assert.fail()
  const reached = async (id: string, done: (row: RuntimeRow) => boolean) =>
    (await changes.until(id, done, 10_000)) ?? assert.fail('it did not get there in 10 s')
  const ownerRow = async (owner: string) =>
    (await database.db.query.runtimes.findFirst({ where: (row, { eq }) => eq(row.owner, owner) })) ?? assert.fail()
  /** As if everything had been in its state for a while. */
  const longAgo = () => database.db.execute(`update runtimes set state_at = now() - interval '1 minute'`)
  const inLine = async (owner: string) => {
    const deadline = performance.now() + 10_000
    for (;;) {
      const row = await database.db.query.runtimes.findFirst({ where: (one, { eq }) => eq(one.owner, owner) })
      if (row?.lineSince) return row
      assert(performance.now() < deadline, `${owner} did not get in line`)
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  describe('at the cap', () => {
    it('reject says at once what is in use', async () => {
      await set({ maxRuntimes: 1, maxMemoryBytes: 1500, atCap: 'reject' })
      const { ensure } = await another()
      await ensure(wanted('alice'), 5000)
      await assert.rejects(ensure(wanted('bob'), 5000), (error: Error) => {
        codeOf('quota-exceeded')(error)
        assert.match(error.message, /1 of 1 runtimes are in use.*of memory are needed/)
        return true
      })
      assert.deepEqual(await used(), { runtimes: 1, memory: 1000 })
    })

    it('queue lets each in when room comes, first in first out, on whichever gateway', async () => {
      await set({ maxRuntimes: 1, atCap: 'queue' })
      const [one, two] = [await another(), await another()]
      const { row: alice } = await one.ensure(wanted('alice'), 5000)
      const order: string[] = []
      const asked = async (gateway: TestGateway, owner: string) => {
        const { row } = await gateway.ensure(wanted(owner), 30_000)
        order.push(owner)
        await one.remove(row, true, 5000)
      }
      const waiting: Promise<void>[] = []
      for (const [n, owner] of ['bob', 'carol', 'dave', 'erin'].entries()) {
        waiting.push(asked(n % 2 ? two : one, owner))
        await inLine(owner)
      }
      assert.equal((await used()).runtimes, 1)
      await two.stop(alice, 5000)
      await Promise.all(waiting)
      assert.deepEqual(order, ['bob', 'carol', 'dave', 'erin'])
      assert.deepEqual(await used(), { runtimes: 0, memory: 0 })
    })

    it('queue does not let a newcomer go by those in line', async () => {
      await set({ maxRuntimes: 1, atCap: 'queue' })
      const { ensure } = await another()
      await ensure(wanted('alice'), 5000)
      // Its keeper is nobody of this test's: it stays where it is.
      await database.db.execute(`insert into runtimes
        (id, tenant, mode, owner, owner_hash, spec, need_memory_bytes, need_cpu_millis, start, line_since, line_until, line_for)
        values ('rt_0', 'default', 'shared', 'first', 'ffffffffffffffff', 'browser', 1, 1, '{}', now(), now() + interval '1 h', 'quota')`)
      await set({ maxRuntimes: 2 })
      await assert.rejects(ensure(wanted('bob'), 1500), codeOf('quota-exceeded'))
      await database.db.execute(`update runtimes set line_until = now() where id = 'rt_0'`)
      assert.equal((await ensure(wanted('bob'), 5000)).row.state, 'running')
    })

    it('queue gives up after `wait`, and at once when it is not to wait', async () => {
      await set({ maxRuntimes: 1, atCap: 'queue' })
      const { ensure } = await another()
      await ensure(wanted('alice'), 5000)
      const startedAt = performance.now()
      await assert.rejects(ensure(wanted('bob'), 1200), codeOf('quota-exceeded'))
      const ms = performance.now() - startedAt
      assert(ms >= 1000 && ms < 5000, `${ms} ms`)
      assert.equal((await ownerRow('bob')).state, 'failed')
      const { row } = await ensure(wanted('carol'), 0)
      assert.equal((await reached(row.id, now => now.state === 'failed')).error?.code, 'quota-exceeded')
    })

    it('queue is bounded', async () => {
      await set({ maxRuntimes: 1, atCap: 'queue', queueLimit: 2 })
      const { ensure } = await another()
      await ensure(wanted('alice'), 5000)
      const waiting = ['bob', 'carol'].map(owner => ensure(wanted(owner), 30_000))
      await Promise.all(['bob', 'carol'].map(inLine))
      await assert.rejects(ensure(wanted('dave'), 30_000), (error: Error) => {
        codeOf('quota-exceeded')(error)
        assert.match(error.message, /the line is as long as it may be/)
        return true
      })
      await set({ maxRuntimes: null })
      assert.deepEqual(
        (await Promise.all(waiting)).map(({ row }) => row.state),
        ['running', 'running'],
      )
    })

    it('a stopped runtime that is asked for again waits in line too', async () => {
      await set({ maxRuntimes: 1, atCap: 'queue' })
      const { ensure, stop } = await another()
      const { row: alice } = await ensure(wanted('alice'), 5000)
      await stop(alice, 5000)
      const { row: bob } = await ensure(wanted('bob'), 5000)
      const again = ensure(wanted('alice'), 30_000)
      assert.equal((await inLine('alice')).state, 'pending')
      await stop(bob, 5000)
      assert.deepEqual((await again).row.generation, 2)
    })

    it('a place in line outlives the gateway that kept it', async () => {
      await set({ maxRuntimes: 1, atCap: 'queue' })
      const dying = await another()
      const { row: alice } = await dying.ensure(wanted('alice'), 5000)
      const asked = dying.ensure(wanted('bob'), 30_000)
      const { lineSince } = await inLine('bob')
      await dying.driver.close(1000)
      const other = await another()
      await database.db.execute(`update runtimes set work_until = now() where owner = 'bob'`)
      const kept = await inLine('bob')
      assert.deepEqual(kept.lineSince, lineSince)
      await other.stop(alice, 5000)
      assert.equal((await asked).row.state, 'running')
    })

    it('pause-oldest freezes the one used longest ago, keeps its memory, and wakes it when it is asked for', async () => {
      await set({ maxRuntimes: 2, atCap: 'pause-oldest' })
      const { ensure } = await another()
      const { row: alice } = await ensure(wanted('alice'), 5000)
      const { row: bob } = await ensure(wanted('bob'), 5000)
      await ensure(wanted('alice'), 5000)
      await longAgo()
      const { row: carol } = await ensure(wanted('carol'), 5000)
      assert.equal(carol.state, 'running')
      await reached(bob.id, now => now.state === 'paused' && now.workUntil === null)
      assert.equal(host.containers.get(bob.id)?.state, 'paused')
      assert.deepEqual(await used(), { runtimes: 2, memory: 3000 })
      await longAgo()
      const { row: again } = await ensure(wanted('bob'), 5000)
      assert.deepEqual([again.state, again.generation], ['running', 1])
      await reached(alice.id, now => now.state === 'paused' && now.workUntil === null)
      assert.deepEqual(await used(), { runtimes: 2, memory: 3000 })
    })

    it('pause-oldest pauses nobody where memory is what is missing', async () => {
      await set({ maxMemoryBytes: 1000, atCap: 'pause-oldest' })
      const { ensure } = await another()
      const { row } = await ensure(wanted('alice'), 5000)
      await assert.rejects(ensure(wanted('bob'), 5000), codeOf('quota-exceeded'))
      assert.equal((await rowOf(row.id)).state, 'running')
    })

    it('pause-oldest does not freeze what has only just been let go on', async () => {
      await set({ maxRuntimes: 1, atCap: 'pause-oldest' })
      const { ensure } = await another()
      const { row } = await ensure(wanted('alice'), 5000)
      await assert.rejects(ensure(wanted('bob'), 5000), codeOf('quota-exceeded'))
      assert.equal((await rowOf(row.id)).state, 'running')
    })

    it('pause-oldest never lets more run than may, however many ask at once', async () => {
      await set({ maxRuntimes: 2, atCap: 'pause-oldest' })
      const all = [await another(), await another()]
      const owners = [...'abcdefgh']
      const results = await Promise.allSettled(
        owners.map((owner, n) => (all[n % 2] ?? assert.fail()).ensure(wanted(owner), 10_000)),
      )
      assert(results.some(({ status }) => status === 'fulfilled'))
      assert((await used()).runtimes <= 2)
      const rows = await database.db.query.runtimes.findMany()
      assert.equal(rows.filter(({ counted }) => counted).length, (await used()).runtimes)
    })
  })

  describe('a pause', () => {
    it('is idempotent, frees a place among the running, and a stop of it gives back just the rest', async () => {
      const { ensure, pause, resume, stop } = await another()
      const { row } = await ensure(wanted('alice'), 5000)
      assert.equal((await pause(row, 5000)).state, 'paused')
      assert.equal((await pause(await rowOf(row.id), 5000)).state, 'paused')
      assert.deepEqual(await used(), { runtimes: 0, memory: 1000 })
      assert.equal((await resume(await rowOf(row.id), 5000)).state, 'running')
      assert.equal((await resume(await rowOf(row.id), 5000)).state, 'running')
      assert.deepEqual(await used(), { runtimes: 1, memory: 1000 })
      assert.deepEqual(host.calls.slice(1), ['pause', 'resume'])
      await pause(await rowOf(row.id), 5000)
      assert.equal((await stop(await rowOf(row.id), 5000)).state, 'stopped')
      assert.deepEqual(await used(), { runtimes: 0, memory: 0 })
      await assert.rejects(pause(await rowOf(row.id), 5000), codeOf('wrong-state'))
      await assert.rejects(resume(await rowOf(row.id), 5000), codeOf('wrong-state'))
    })

    it('that reaches its host after the resume that followed it does not leave it frozen', async () => {
      const { ensure, pause, resume } = await another()
      const { row } = await ensure(wanted('alice'), 5000)
      const late = Promise.withResolvers<void>()
      host.script.turn = to => (to === 'paused' ? late.promise : Promise.resolve())
      const pausing = pause(row, 10_000)
      const paused = await reached(row.id, now => now.state === 'paused')
      const resumed = await resume(paused, 10_000)
      assert.equal(resumed.state, 'running')
      late.resolve()
      await pausing.catch(() => {})
      const deadline = performance.now() + 5000
      while (host.containers.get(row.id)?.state !== 'running' || host.calls.length < 4) {
        assert(performance.now() < deadline, 'it stayed frozen')
        await new Promise(resolve => setImmediate(resolve))
      }
      assert.deepEqual(host.calls.slice(1), ['pause', 'resume', 'resume'])
    })

    it('whose gateway dies before the host is told is carried out by another', async () => {
      const dying = await another()
      const { row } = await dying.ensure(wanted('alice'), 5000)
      const never = Promise.withResolvers<void>()
      host.script.turn = () => never.promise
      const pausing = dying.pause(row, 500)
      await reached(row.id, now => now.state === 'paused')
      await dying.driver.close(10)
      await assert.rejects(pausing, codeOf('host-unreachable'))
      host.script.turn = async () => {}
      await database.db.execute('update runtimes set work_until = now()')
      await another()
      await reached(row.id, now => now.state === 'paused' && now.workUntil === null)
      assert.equal(host.containers.get(row.id)?.state, 'paused')
      never.resolve()
    })

    it('of a container that is gone ends in failed, with nothing held', async () => {
      const { ensure, pause } = await another()
      const { row } = await ensure(wanted('alice'), 5000)
      host.script.turn = async () => {
        throw refusal('not-found')
      }
      await pause(row, 2000).catch(() => {})
      await reached(row.id, now => now.state === 'failed' && !now.reserved)
      assert.deepEqual(await used(), { runtimes: 0, memory: 0 })
    })
  })

  describe('on the hosts', () => {
    const full = () => addHost(database.db, 'h1', 1)
    beforeEach(async () => {
      await database.db.execute('truncate runtimes, profiles, hosts, events, volume_removals restart identity cascade')
    })

    it('is waited for where one could take it once others have left', async () => {
      await full()
      const { ensure, stop } = await another()
      const { row: alice } = await ensure(wanted('alice'), 5000)
      const waiting = ensure(wanted('bob'), 30_000)
      await inLine('bob')
      await stop(alice, 5000)
      assert.equal((await waiting).row.state, 'running')
    })

    it('is not waited for where nobody ever could, and each host says why', async () => {
      await full()
      await addHost(database.db, 'h2', 1, { schedulable: false })
      const { ensure } = await another()
      const startedAt = performance.now()
      await assert.rejects(ensure(wanted('alice', { needMemoryBytes: 5000 }), 30_000), (error: Error) => {
        codeOf('no-capacity')(error)
        assert.match(error.message, /h1: it has 0 MiB of memory in all.*h2: it is cordoned/)
        return true
      })
      assert(performance.now() - startedAt < 5000)
    })

    it('that there is none of is told of each host as an operator is told who asks beforehand', async () => {
      const hosts: [string, Parameters<typeof addHost>[3]][] = [
        ['silent', { lastSeenAt: new Date(Date.now() - 30_000) }],
        ['cordoned', { schedulable: false }],
        ['elsewhere', { labels: { zone: 'b' } }],
        ['taken', { labels: { zone: 'a' }, gpus: 2, reservedSlots: 5 }],
        ['without', { labels: { zone: 'a' } }],
        ['full', { labels: { zone: 'a' }, gpus: 2, diskFreeBytes: 1 }],
      ]
      for (const [id, more] of hosts) await addHost(database.db, id, 5, more)
      const { ensure } = await another()
      const start = { memoryBytes: 2000, cpus: 1, require: { zone: 'a' } }
      const refused = await ensure(wanted('alice', { needGpus: 1, start }), 0)
        .then(({ row }) => reached(row.id, now => now.state === 'failed'))
        .then(({ error }) => error?.detail ?? assert.fail())
      const placement = createPlacement({ db: database.db, imageOf: () => undefined })
      const explained = await placement.explain(demandOf(await ownerRow('alice'), 'spread', undefined))
      assert.deepEqual(
        refused.split('; ').toSorted(),
        explained.map(({ host: { name }, reason }) => `${name}: ${reason?.why}`).toSorted(),
      )
      assert.equal(explained.length, hosts.length)
    })

    it('is given to the tenants in line by turns, and within each in its order', async () => {
      await full()
      await putTenant(database.db, { slug: 'acme', mode: 'docker-per-principal' })
      const [one, two] = [await another(), await another()]
      const { row: first } = await one.ensure(wanted('alice'), 5000)
      const order: string[] = []
      const asked = async (tenant: string, owner: string) => {
        const { row } = await two.ensure(wanted(owner, { tenant }), 60_000)
        order.push(owner)
        await two.remove(row, true, 5000)
      }
      const waiting: Promise<void>[] = []
      for (const owner of ['a1', 'a2', 'a3', 'a4', 'a5']) {
        waiting.push(asked('default', owner))
        await inLine(owner)
      }
      for (const owner of ['b1', 'b2']) {
        waiting.push(asked('acme', owner))
        await inLine(owner)
      }
      await one.remove(first, true, 5000)
      await Promise.all(waiting)
      assert.deepEqual(order, ['a1', 'b1', 'a2', 'b2', 'a3', 'a4', 'a5'])
    })

    it('goes to one who waits, and not to who has just come, whoever of another tenant that is', async () => {
      await full()
      await putTenant(database.db, { slug: 'acme', mode: 'docker-per-principal' })
      const { ensure, remove } = await another()
      const { row: alice } = await ensure(wanted('alice'), 5000)
      // Its keeper is nobody of this test's: it stays where it is, and takes no room.
      await database.db.execute(`insert into runtimes
        (id, tenant, mode, owner, owner_hash, spec, need_memory_bytes, need_cpu_millis, start, line_since, line_until, line_for)
        values ('rt_0', 'acme', 'shared', 'first', 'ffffffffffffffff', 'browser', 1000, 100, '{}', now(), now() + interval '1 h', 'hosts')`)
      await remove(alice, true, 5000)
      await assert.rejects(ensure(wanted('bob'), 1500), (error: Error) => {
        codeOf('no-capacity')(error)
        assert.match(error.message, /others in line have their turn before/)
        return true
      })
      // One that could not go to this host holds up nobody here.
      await database.db.execute(`update runtimes set start = '{"require":{"zone":"b"}}' where id = 'rt_0'`)
      assert.equal((await ensure(wanted('carol'), 5000)).row.state, 'running')
      await remove(await ownerRow('carol'), true, 5000)
      // Nor does one whose keeper has gone away.
      await database.db.execute(`update runtimes set start = '{}', line_until = now() where id = 'rt_0'`)
      assert.equal((await ensure(wanted('dave'), 5000)).row.state, 'running')
    })

    it('is reserved by GPU too: never more than there are, waited for, and free again', async () => {
      await addHost(database.db, 'h1', 50)
      await addHost(database.db, 'h2', 50, { gpus: 2 })
      const { ensure, stop } = await another()
      const gpu = (owner: string) => ensure(wanted(owner, { needGpus: 1 }), 30_000)
      const two = await Promise.all(['a', 'b'].map(gpu))
      assert.deepEqual(
        two.map(({ row }) => row.hostId),
        ['h2', 'h2'],
      )
      const waiting = gpu('c')
      await inLine('c')
      const reserved = async () => (await findHost(database.db, 'h2'))?.reservedGpus
      assert.equal(await reserved(), 2)
      // Who needs none goes where none is, and does not wait behind.
      assert.equal((await ensure(wanted('plain'), 5000)).row.hostId, 'h1')
      await assert.rejects(ensure(wanted('d', { needGpus: 3 }), 30_000), (error: Error) => {
        codeOf('no-capacity')(error)
        assert.match(error.message, /h1: it has 0 GPUs in all, 3 are needed.*h2: it has 2 GPUs in all/)
        return true
      })
      const [first] = two
      await stop(first?.row ?? assert.fail(), 5000)
      assert.deepEqual([(await waiting).row.hostId, await reserved()], ['h2', 2])
    })

    it('that one waits for holds up nobody of its tenant who asks for less, or could go elsewhere', async () => {
      await addHost(database.db, 'h1', 4)
      const { ensure, pause, resume } = await another()
      const { row: alice } = await ensure(wanted('alice'), 5000)
      await pause(alice, 5000)
      // Needs all of the host, in which alice is.
      const big = ensure(wanted('big', { needMemoryBytes: 4000 }), 20_000).catch((error: Error) => error)
      await inLine('big')
      assert.equal((await ensure(wanted('bob'), 2000)).row.state, 'running')
      assert.equal((await resume(await rowOf(alice.id), 2000)).state, 'running')
      await addHost(database.db, 'h2', 4)
      const placed = await big
      assert(!(placed instanceof Error))
      assert.equal(placed.row.hostId, 'h2')
    })

    it('one whose profile is on a full host does not hold up those who can go anywhere', async () => {
      await full()
      const { ensure, stop } = await another()
      const { row: alice } = await ensure(wanted('alice'), 5000)
      await stop(alice, 5000)
      await ensure(wanted('bob'), 5000)
      const waiting = ensure(wanted('alice'), 20_000).catch((error: Error) => error)
      await inLine('alice')
      await addHost(database.db, 'h2', 1)
      assert.equal((await ensure(wanted('carol'), 5000)).row.hostId, 'h2')
      await stop(await rowOf((await ownerRow('bob')).id), 5000)
      const back = await waiting
      assert(!(back instanceof Error))
      assert.equal(back.row.hostId, 'h1')
    })

    it('a stop of one that waits, and whose last host is away, is done at once', async () => {
      await addHost(database.db, 'h1', 1)
      const { ensure, stop } = await another()
      const task = wanted('task', { mode: 'docker-per-task' })
      const { row } = await ensure(task, 5000)
      await stop(row, 5000)
      await ensure(wanted('bob'), 5000)
      const waiting = ensure(task, 20_000).catch((error: Error) => error)
      await inLine('task')
      host.script.stop = async () => {
        throw new AgentUnreachable('away')
      }
      assert.equal((await stop(await rowOf(row.id), 2000)).state, 'stopped')
      await waiting
    })

    it('a task that starts on another host leaves no volume behind on the first', async () => {
      await addHost(database.db, 'h1', 1)
      const { ensure, stop } = await another()
      const task = wanted('task', { mode: 'docker-per-task' })
      const { row } = await ensure(task, 5000)
      await stop(row, 5000)
      await ensure(wanted('bob'), 5000)
      await addHost(database.db, 'h2', 1)
      assert.equal((await ensure(task, 5000)).row.hostId, 'h2')
      const due = await database.db.query.volumeRemovals.findMany()
      assert.deepEqual(
        due.map(({ hostId, ownerHash }) => [hostId, ownerHash]),
        [['h1', row.ownerHash]],
      )
    })

    it('a host that refuses is not asked again, another one is', async () => {
      await addHost(database.db, 'h1', 10)
      await addHost(database.db, 'h2', 5)
      const asked: string[] = []
      const at = host.agents.at
      host.agents.at = address => ({
        ...at(address),
        start: async (id, command) => {
          asked.push(address.id)
          if (asked.length === 1) throw refusal('no-room', { detail: 'its disk is full' })
          return at(address).start(id, command)
        },
      })
      const { ensure } = await another()
      const { row } = await ensure(wanted('alice'), 5000)
      assert.equal(new Set(asked).size, 2)
      assert.deepEqual([row.state, row.hostId, row.generation], ['running', asked[1], 2])
      const held = await database.db.query.hosts.findMany()
      assert.deepEqual(held.map(one => [one.id === row.hostId, one.reservedSlots]).toSorted(), [
        [false, 0],
        [true, 1],
      ])
      assert.equal((await used()).runtimes, 1)
    })

    it('a runtime whose profile is on the host that refuses stays there, and fails with what it said', async () => {
      await addHost(database.db, 'h1', 10)
      const { ensure, stop } = await another()
      const { row } = await ensure(wanted('alice'), 5000)
      await stop(row, 5000)
      await addHost(database.db, 'h2', 10)
      host.script.start = async () => {
        throw refusal('no-room', { detail: 'its disk is full' })
      }
      await assert.rejects(ensure(wanted('alice'), 5000), (error: Error) => {
        codeOf('no-capacity')(error)
        assert.match(error.message, /its disk is full/)
        return true
      })
      assert.equal((await rowOf(row.id)).hostId, 'h1')
    })
  })
})
