import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import {
  connect,
  type Database,
  findHost,
  findProfile,
  findRuntimeById,
  listEvents,
  migrate,
  putTenant,
  type RuntimeRow,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { freshDatabase } from '../../../test/kit/database.ts'
import { eventually } from '../../../test/kit/eventually.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { AgentUnreachable } from '../agents/client.ts'
import { Problem } from '../problem.ts'
import { type Changes, listenForChanges } from './changes.ts'
import { leaseMs } from './driver.ts'
import { openRoom, type Room } from './room.ts'
import { codeOf, fakeHost, refusal, type TestGateway, testGateway } from './testing.ts'

describe('the conductor', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let changes: Changes
  let host: ReturnType<typeof fakeHost>
  let gateways: TestGateway[]
  let room: Room
  const log = testLog('conductor')

  const another = () => {
    const made = testGateway({ database, changes, room: () => room, host, log })
    gateways.push(made)
    return made
  }

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 30 })
    changes = await listenForChanges(database)
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    room = await openRoom({ database, leaseMs, carryOut: row => gateways[0]?.driver.take(row) })
  })
  after(async () => {
    await Promise.all([changes.close(), room.close()])
    await database.close()
    await fresh.drop()
  })
  beforeEach(async () => {
    await database.db.execute('truncate runtimes, profiles, hosts, events restart identity cascade')
    await addHost(database.db, 'h1', 3)
    host = fakeHost()
    gateways = []
  })
  afterEach(async () => {
    await Promise.all(gateways.map(({ driver }) => driver.close(1000)))
  })

  const slots = async () => (await findHost(database.db, 'h1'))?.reservedSlots
  const rowOf = (id: string) => findRuntimeById(database.db, id)
  const reached = async (id: string, done: (row: RuntimeRow) => boolean) => {
    const row = await changes.until(id, done, 10_000)
    assert(row, 'it did not get there in 10 s')
    return row
  }

  it('twenty ensures of one owner over three gateways start one container', async () => {
    const fleet = [another(), another(), another()]
    const all = await Promise.all(Array.from({ length: 20 }, (_, n) => fleet[n % 3]?.ensure(wanted('alice'), 10_000)))
    assert.equal(new Set(all.map(answer => answer?.row.id)).size, 1)
    assert.equal(all.filter(answer => answer?.created).length, 1)
    assert(all.every(answer => answer?.row.state === 'running'))
    assert.deepEqual(host.calls, ['start 1'])
    assert.equal(await slots(), 1)
  })

  it('the event of a start tells its steps as far as they are known, of the first start and of a later one', async () => {
    const { ensure, stop, start } = another()
    host.script.steps = { create: 60, browser: 500 }
    const { row } = await ensure(wanted('alice'), 10_000)
    await start(await stop(row, 10_000), 10_000)
    host.script.steps = undefined
    await ensure(wanted('bob'), 10_000)
    const told = await database.db.execute<{ data: { startMs: number; steps: Record<string, number> } }>(
      "select data from events where to_state = 'running' order by seq",
    )
    const steps = told.map(({ data }) => data.steps)
    assert.deepEqual(
      steps.map(({ placement, ...others }) => others),
      [{ create: 60, browser: 500 }, { create: 60, browser: 500 }, {}],
    )
    assert(steps.every(({ placement = -1 }) => placement >= 0 && Number.isInteger(placement)))
    assert(told.every(({ data }) => data.startMs >= 0))
  })

  it('who asked for more than there is gets what they ask for next', async () => {
    const { ensure, stop } = another()
    const tooMuch = wanted('alice', { needMemoryBytes: 100_000, labels: { is: 'first' } })
    await assert.rejects(ensure(tooMuch, 10_000), codeOf('no-capacity'))
    const { row, created } = await ensure(wanted('alice', { labels: { is: 'second' } }), 10_000)
    assert.deepEqual([created, row.state, row.needMemoryBytes, row.labels], [false, 'running', 1000, { is: 'second' }])
    // What has run stays as it is.
    await stop(row, 10_000)
    const again = await ensure(wanted('alice', { needMemoryBytes: 2000 }), 10_000)
    assert.deepEqual([again.row.state, again.row.needMemoryBytes], ['running', 1000])
  })

  it('does not wait when it is asked not to', async () => {
    const { ensure } = another()
    const { promise, resolve } = Promise.withResolvers<void>()
    host.script.start = () => promise
    const { row, created } = await ensure(wanted('alice'), 0)
    assert(created && ['pending', 'starting'].includes(row.state))
    resolve()
    await reached(row.id, now => now.state === 'running')
  })

  it('a container that ends while it starts is a problem with exit code and log, frees its room, and can be tried again', async () => {
    const { ensure } = another()
    host.script.start = async () => {
      throw refusal('runtime-exited', { exitCode: 3, logTail: 'no display', detail: 'it ended' })
    }
    await assert.rejects(ensure(wanted('alice'), 5000), (error: unknown) => {
      assert(codeOf('runtime-failed')(error) && error instanceof Problem)
      assert.equal(error.extra.members?.exitCode, 3)
      assert.equal(error.extra.members?.logTail, 'no display')
      return true
    })
    assert.equal(await slots(), 0)
    host.script.start = async () => {}
    const { row, created } = await ensure(wanted('alice'), 5000)
    assert.deepEqual([row.state, row.generation, created, row.error], ['running', 2, false, null])
  })

  it('a start that takes too long is a 504', async () => {
    host.script.start = async () => {
      throw refusal('not-ready', { detail: 'health answered 503' })
    }
    await assert.rejects(another().ensure(wanted('alice'), 5000), codeOf('start-timeout'))
  })

  it('no room is a 503 that says why for each host', async () => {
    const { ensure } = another()
    for (const owner of ['a', 'b', 'c']) await ensure(wanted(owner), 5000)
    await assert.rejects(ensure(wanted('d'), 5000), (error: unknown) => {
      assert(codeOf('no-capacity')(error) && error instanceof Problem)
      assert.match(error.extra.detail ?? '', /h1: all 3 slots are taken/)
      return true
    })
    assert.equal(await slots(), 3)
  })

  it('an owner goes back to the host that has the profile, and waits for no other when it is away', async () => {
    const { ensure, remove } = another()
    const { row } = await ensure(wanted('alice'), 5000)
    await remove(row, false, 5000)
    await addHost(database.db, 'h2', 50)
    const { row: again } = await ensure(wanted('alice'), 5000)
    assert.equal(again.hostId, 'h1')
    await remove(again, false, 5000)
    await database.db.execute(`update hosts set last_seen_at = now() - interval '1 minute' where id = 'h1'`)
    await assert.rejects(ensure(wanted('alice'), 5000), codeOf('profile-unavailable'))
  })

  it('an owner whose host is away starts elsewhere with a fresh profile, when that is asked for and not before', async () => {
    const { ensure, stop } = another()
    const { row } = await ensure(wanted('alice'), 5000)
    await addHost(database.db, 'h2', 3)
    await stop(row, 5000)
    const fresh = () => ensure(wanted('alice'), 5000, { freshProfile: true })
    assert.equal((await fresh()).row.hostId, 'h1')
    await database.db.execute(`update hosts set last_seen_at = now() - interval '25 s' where id = 'h1'`)
    await stop(await rowOf(row.id).then(now => now ?? assert.fail()), 5000).catch(() => {})
    await database.db.execute(`update runtimes set state = 'stopped', reserved = false, counted = false`)
    await assert.rejects(ensure(wanted('alice'), 300), codeOf('profile-unavailable'))
    const askedAt = performance.now()
    assert.equal((await fresh()).row.hostId, 'h2')
    assert(performance.now() - askedAt < 3000, 'who wants a fresh one does not wait for the old one')
    assert.equal((await findProfile(database.db, row))?.hostId, 'h2')
  })

  const inLine = () => eventually(async () => assert((await database.db.query.runtimes.findFirst())?.lineSince))

  it('an owner whose host has been silent for less than a minute waits for it, as after an outage of the database', async () => {
    const { ensure, stop } = another()
    const { row } = await ensure(wanted('alice'), 5000)
    await addHost(database.db, 'h2', 3)
    await stop(row, 5000)
    await database.db.execute(`update hosts set last_seen_at = now() - interval '25 s'`)
    const waiting = ensure(wanted('alice'), 20_000)
    await inLine()
    await database.db.execute('update hosts set last_seen_at = now()')
    assert.equal((await waiting).row.hostId, 'h1')
  })

  it('a new runtime waits for hosts that have been silent for less than a minute, and for no others', async () => {
    const { ensure } = another()
    await database.db.execute(`update hosts set last_seen_at = now() - interval '25 s'`)
    const waiting = ensure(wanted('alice'), 20_000)
    await inLine()
    await database.db.execute('update hosts set last_seen_at = now()')
    assert.equal((await waiting).row.state, 'running')
    await database.db.execute(`update hosts set last_seen_at = now() - interval '61 s'`)
    const askedAt = performance.now()
    await assert.rejects(ensure(wanted('bob'), 20_000), codeOf('no-capacity'))
    assert(performance.now() - askedAt < 10_000)
  })

  it('a start that its host refuses waits for room elsewhere, as long as it was to', async () => {
    const { ensure } = another()
    host.script.start = async () => {
      throw refusal('no-room')
    }
    const waiting = ensure(wanted('alice'), 20_000)
    await inLine()
    host.script.start = async () => {}
    await addHost(database.db, 'h2', 3)
    assert.deepEqual(await waiting.then(({ row }) => [row.state, row.hostId]), ['running', 'h2'])
  })

  it('a runtime that runs but is dead is started again, not handed out', async () => {
    const { ensure } = another()
    const { row } = await ensure(wanted('alice'), 5000)
    host.containers.set(row.id, {
      id: row.id,
      generation: 1,
      ownerHash: row.ownerHash,
      state: 'running',
      healthy: false,
    })
    const { row: again } = await ensure(wanted('alice'), 5000)
    assert.deepEqual([again.id, again.state, again.generation], [row.id, 'running', 2])
    assert.equal(await slots(), 1)
    host.containers.delete(row.id)
    assert.equal((await ensure(wanted('alice'), 5000)).row.generation, 3)
    assert.equal(await slots(), 1)
  })

  it('a host that cannot tell is a 503, and nothing is restarted or removed', async () => {
    const { ensure } = another()
    const { row } = await ensure(wanted('alice'), 5000)
    for (const fault of [refusal('engine-unavailable'), new AgentUnreachable('away')]) {
      host.script.probe = async () => {
        throw fault
      }
      await assert.rejects(ensure(wanted('alice'), 5000), codeOf('host-unreachable'))
    }
    assert.equal((await rowOf(row.id))?.state, 'running')
    assert.deepEqual(host.calls, ['start 1'])
  })

  it('stop keeps the profile and frees the room; start brings the runtime back', async () => {
    const { ensure, stop, start } = another()
    const { row } = await ensure(wanted('alice'), 5000)
    assert.equal((await stop(row, 5000)).state, 'stopped')
    assert.equal((await stop(row, 5000)).state, 'stopped')
    assert.equal(await slots(), 0)
    const again = await start(row, 5000)
    assert.deepEqual([again.id, again.state, again.generation], [row.id, 'running', 2])
    assert.equal(await slots(), 1)
  })

  it('a stop while it starts is done, not forgotten', async () => {
    const { ensure, stop } = another()
    const { promise, resolve } = Promise.withResolvers<void>()
    host.script.start = () => promise
    const { row } = await ensure(wanted('alice'), 0)
    const starting = await reached(row.id, now => now.state === 'starting')
    assert.equal((await stop(starting, 5000)).state, 'stopped')
    resolve()
    await reached(row.id, () => host.calls.filter(call => call === 'stop').length === 2)
    assert.equal((await rowOf(row.id))?.state, 'stopped')
    assert.deepEqual([host.containers.size, await slots()], [0, 0])
  })

  it('an ensure that will not wait for a stop is told to come again, not that a start is under way', async () => {
    const { ensure, stop } = another()
    const { row } = await ensure(wanted('alice'), 5000)
    const { promise, resolve } = Promise.withResolvers<void>()
    host.script.stop = () => promise
    const stopping = stop(row, 5000)
    await reached(row.id, now => now.state === 'stopping')
    await assert.rejects(ensure(wanted('alice'), 0), codeOf('wrong-state'))
    resolve()
    await stopping
  })

  it('a host that has seen a newer start fails this one, once', async () => {
    host.script.start = async () => {
      throw refusal('stale-generation')
    }
    await assert.rejects(another().ensure(wanted('alice'), 5000), codeOf('runtime-failed'))
    assert.deepEqual(
      host.calls.filter(call => call.startsWith('start')),
      ['start 1'],
    )
  })

  it('an agent that restarts in the middle of a start costs a moment, not the start', async () => {
    let tries = 0
    host.script.start = async () => {
      tries += 1
      if (tries < 4) throw new AgentUnreachable('restarting')
    }
    const { row } = await another().ensure(wanted('alice'), 20_000)
    assert.deepEqual([row.state, row.generation, tries], ['running', 1, 4])
  })

  describe('delete', () => {
    it('of the profile is possible after the runtime is gone, and not while a newer one uses it', async () => {
      const { ensure, remove } = another()
      const { row } = await ensure(wanted('alice'), 5000)
      const gone = await remove(row, false, 5000)
      const { row: newer } = await ensure(wanted('alice'), 5000)
      await assert.rejects(remove(gone, true, 5000), codeOf('wrong-state'))
      await remove(newer, false, 5000)
      await remove(gone, true, 5000)
      assert.equal(host.calls.at(-1), 'remove with volume')
      assert.equal(await findProfile(database.db, row), undefined)
    })

    it('is idempotent, and an owner can have a new runtime afterwards', async () => {
      const { ensure, remove } = another()
      const { row } = await ensure(wanted('alice'), 5000)
      const [one, two] = await Promise.all([remove(row, false, 5000), remove(row, false, 5000)])
      assert.deepEqual([one.state, two.state], ['deleted', 'deleted'])
      assert.equal((await remove(row, false, 5000)).state, 'deleted')
      assert.deepEqual(host.calls, ['start 1', 'remove'])
      assert.equal(await slots(), 0)
      const { row: next, created } = await ensure(wanted('alice'), 5000)
      assert(created && next.id !== row.id)
    })

    it('while it starts ends in deleted, and the late start changes nothing', async () => {
      const { ensure, remove } = another()
      const { promise, resolve } = Promise.withResolvers<void>()
      host.script.start = () => promise
      const { row } = await ensure(wanted('alice'), 0)
      await reached(row.id, now => now.state === 'starting')
      const seen = await rowOf(row.id)
      assert(seen)
      assert.equal((await remove(seen, true, 5000)).state, 'deleted')
      resolve()
      await another().driver.close(1000)
      assert.equal((await rowOf(row.id))?.state, 'deleted')
      assert.equal(await slots(), 0)
    })

    it('of a runtime whose host is away keeps its record and its room, and ends when the host is back', async () => {
      const { ensure, remove } = another()
      const { row } = await ensure(wanted('alice'), 5000)
      host.script.remove = async () => {
        throw new AgentUnreachable('away')
      }
      assert.equal((await remove(row, true, 200)).state, 'deleting')
      assert.equal(await slots(), 1)
      host.script.remove = async () => {}
      await reached(row.id, now => now.state === 'deleted')
      assert.equal(await slots(), 0)
    })

    it('asks for the volume too when somebody wants it meanwhile', async () => {
      const { ensure, remove } = another()
      const { row } = await ensure(wanted('alice'), 5000)
      const { promise, resolve } = Promise.withResolvers<void>()
      host.script.remove = () => promise
      const first = remove(row, false, 5000)
      await reached(row.id, now => now.state === 'deleting')
      const second = remove(row, true, 5000)
      await reached(row.id, now => now.removeVolume)
      resolve()
      assert.deepEqual([(await first).state, (await second).state], ['deleted', 'deleted'])
      assert.deepEqual(host.calls, ['start 1', 'remove', 'remove with volume'])
    })
  })

  it('what a dead gateway left half-way another one finishes', async () => {
    const dying = another()
    const never = Promise.withResolvers<void>()
    host.script.start = () => never.promise
    const { row } = await dying.ensure(wanted('alice'), 0)
    await reached(row.id, now => now.state === 'starting')
    await dying.driver.close(10)
    await database.db.execute(`update runtimes set work_until = now() - interval '1 second'`)
    host.script.start = async () => {}
    another()
    const now = await reached(row.id, ({ state }) => state === 'running')
    assert.deepEqual([now.generation, await slots()], [1, 1])
    const moves = (await listEvents(database.db, row, 0, 10)).map(({ toState }) => toState)
    assert.deepEqual(moves, ['pending', 'starting', 'running'])
    never.resolve()
  })

  it('a start whose host goes silent holds its room until the host confirms that nothing is left', async () => {
    const { ensure } = another()
    const away = async () => {
      throw new AgentUnreachable('away')
    }
    host.script.start = away
    host.script.stop = away
    await assert.rejects(ensure(wanted('alice'), 30_000), codeOf('host-unreachable'))
    assert.equal(await slots(), 1)
    host.script.stop = async () => {}
    const row = (await database.db.query.runtimes.findFirst()) as RuntimeRow
    await reached(row.id, now => !now.reserved)
    assert.equal(await slots(), 0)
  })
})
