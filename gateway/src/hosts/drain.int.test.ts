import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import {
  claimMove,
  connect,
  type Database,
  drainHost,
  findHost,
  findProfile,
  findRuntimeById,
  finishMove,
  migrate,
  type ProfileRow,
  putTenant,
  type RuntimeRow,
  removeHost,
  renewMove,
  setSchedulable,
  startOn,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { freshDatabase } from '../../../test/kit/database.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { AgentUnreachable } from '../agents/client.ts'
import { type Changes, listenForChanges } from '../runtimes/changes.ts'
import { leaseMs } from '../runtimes/driver.ts'
import { createPlacement } from '../runtimes/placement.ts'
import { openRoom, type Room } from '../runtimes/room.ts'
import { fakeHost, type TestGateway, testGateway } from '../runtimes/testing.ts'
import { type DrainWatch, watchDrains } from './drain.ts'

describe('draining a host', { concurrency: false }, () => {
  const log = testLog('drain')
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let changes: Changes
  let room: Room
  let host: ReturnType<typeof fakeHost>
  let gateway: TestGateway
  let drains: DrainWatch

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 20 })
    changes = await listenForChanges(database)
    room = await openRoom({ database, leaseMs, carryOut: row => gateway.driver.take(row) })
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
  })
  after(async () => {
    await Promise.all([changes.close(), room.close()])
    await database.close()
    await fresh.drop()
  })
  beforeEach(async () => {
    await database.db.execute('truncate runtimes, profiles, hosts, events, volume_removals restart identity cascade')
    await addHost(database.db, 'h1', 10)
    host = fakeHost()
    gateway = testGateway({ database, changes, room: () => room, host, log })
    drains = watch()
  })
  afterEach(async () => {
    await drains.stop()
    await gateway.driver.close(1000)
  })

  const watch = (more: { moveLeaseMs?: number } = {}): DrainWatch =>
    watchDrains({
      db: database.db,
      agents: host.agents,
      placement: createPlacement({ db: database.db, imageOf: () => undefined }),
      driver: gateway.driver,
      log,
      leaseMs,
      ...more,
    })
  /** Another gateway, which has not failed yet, takes over and looks. */
  const anew = async (more: { moveLeaseMs?: number } = {}) => {
    await drains.stop()
    drains = watch(more)
    await drains.look()
  }

  const stopped = async (owner: string): Promise<RuntimeRow> => {
    const { row } = await gateway.ensure(wanted(owner), 5000)
    host.volumes.set(`${row.hostId} ${row.ownerHash}`, `cookies of ${owner}`)
    return gateway.stop(row, 5000)
  }
  const profileOf = async (row: RuntimeRow): Promise<ProfileRow> =>
    (await findProfile(database.db, row)) ?? assert.fail()
  const rowOf = async (row: RuntimeRow) => (await findRuntimeById(database.db, row.id)) ?? assert.fail()
  const due = () => database.db.query.volumeRemovals.findMany()

  it('moves idle profiles to another host, and their owners go on there', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    await drainHost(database.db, 'h1', 60)
    await drains.look()
    assert.equal((await profileOf(row)).hostId, 'h2')
    assert.equal(host.volumes.get(`h2 ${row.ownerHash}`), 'cookies of alice')
    await drains.look()
    assert.equal(host.volumes.has(`h1 ${row.ownerHash}`), false)
    assert.deepEqual(await due(), [])
    const { row: again } = await gateway.ensure(wanted('alice'), 5000)
    assert.deepEqual([again.state, again.hostId], ['running', 'h2'])
  })

  it('lets what runs end by itself until the deadline, then stops it and moves its profile', async () => {
    const { row } = await gateway.ensure(wanted('alice'), 5000)
    host.volumes.set(`h1 ${row.ownerHash}`, 'cookies of alice')
    await addHost(database.db, 'h2', 10)
    await drainHost(database.db, 'h1', 60)
    await drains.look()
    assert.equal((await rowOf(row)).state, 'running')
    assert.equal((await profileOf(row)).hostId, 'h1')
    await drainHost(database.db, 'h1', 0)
    await drains.look()
    await changes.until(row.id, now => now.state === 'stopped', 5000)
    await drains.look()
    assert.equal((await profileOf(row)).hostId, 'h2')
  })

  it('an owner who asks while the profile is on its way waits for it, and finds it', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    const copying = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    host.script.write = () => {
      begun.resolve()
      return copying.promise
    }
    await drainHost(database.db, 'h1', 60)
    const looking = drains.look()
    await begun.promise
    const asked = gateway.ensure(wanted('alice'), 20_000)
    const waits = await changes.until(row.id, now => now.lineSince !== null, 5000)
    assert.equal(waits?.state, 'pending')
    assert.deepEqual(
      host.calls.filter(call => call === 'start 2'),
      [],
    )
    copying.resolve()
    await looking
    const { row: again } = await asked
    assert.deepEqual([again.state, again.hostId], ['running', 'h2'])
  })

  it('a copy that differs, or breaks off, leaves the profile where it is and nothing at the other end', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    host.script.write = async () => {
      host.volumes.set(`h2 ${row.ownerHash}`, 'half of it')
      throw new AgentUnreachable('cut')
    }
    await drainHost(database.db, 'h1', 60)
    await drains.look()
    assert.deepEqual([(await profileOf(row)).hostId, (await profileOf(row)).movingTo], ['h1', null])
    assert.equal(host.volumes.get(`h1 ${row.ownerHash}`), 'cookies of alice')
    await drains.look()
    assert.equal(host.volumes.has(`h2 ${row.ownerHash}`), false)
    await setSchedulable(database.db, 'h1', true)
    const { row: again } = await gateway.ensure(wanted('alice'), 5000)
    assert.equal(again.hostId, 'h1')
  })

  it('one profile is moved by one gateway, and by the next one when that dies', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    const profile = await profileOf(row)
    const claims = await Promise.all([1, 2, 3].map(() => claimMove(database.db, profile, 'h2', 60_000)))
    assert.equal(claims.filter(Boolean).length, 1)
    await drainHost(database.db, 'h1', 60)
    await drains.look()
    assert.equal((await profileOf(row)).hostId, 'h1')
    await database.db.execute(`update profiles set moving_until = now() - interval '1 s'`)
    await drains.look()
    assert.equal((await profileOf(row)).hostId, 'h2')
  })

  it('a profile that is in use is not moved, and one on the move is not used', async () => {
    const { row } = await gateway.ensure(wanted('alice'), 5000)
    await addHost(database.db, 'h2', 10)
    assert.equal(await claimMove(database.db, await profileOf(row), 'h2', 60_000), undefined)
    await gateway.stop(row, 5000)
    assert(await claimMove(database.db, await profileOf(row), 'h2', 60_000))
    await assert.rejects(
      gateway.ensure(wanted('alice'), 0).then(({ row: now }) => gateway.start(now, 0)),
      /on its way to another host/,
    )
  })

  it('a profile does not end up on a host that was removed while it was on its way', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    const copying = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    host.script.write = () => {
      begun.resolve()
      return copying.promise
    }
    await drainHost(database.db, 'h1', 60)
    const looking = drains.look()
    await begun.promise
    assert.deepEqual(await removeHost(database.db, 'h2', { force: false }), {
      removed: false,
      runtimes: 0,
      profiles: 1,
    })
    assert.equal((await removeHost(database.db, 'h2', { force: true }))?.removed, true)
    copying.resolve()
    await looking
    assert.deepEqual([(await profileOf(row)).hostId, (await profileOf(row)).movingTo], ['h1', null])
    assert.equal(host.volumes.get(`h1 ${row.ownerHash}`), 'cookies of alice')
  })

  it('with nowhere to go, a profile stays and can be used once the drain ends', async () => {
    const row = await stopped('alice')
    await drainHost(database.db, 'h1', 0)
    await drains.look()
    assert.equal((await profileOf(row)).hostId, 'h1')
    assert.equal((await findHost(database.db, 'h1'))?.schedulable, false)
    await setSchedulable(database.db, 'h1', true)
    assert.equal((await findHost(database.db, 'h1'))?.drainUntil, null)
    assert.equal((await gateway.ensure(wanted('alice'), 5000)).row.state, 'running')
  })

  it('a volume that is to be removed is never one that has become a profile again', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    await drainHost(database.db, 'h1', 60)
    host.script.removeVolume = async () => {
      throw new AgentUnreachable('away')
    }
    await drains.look()
    assert.equal((await due()).length, 1)
    await setSchedulable(database.db, 'h1', true)
    await drainHost(database.db, 'h2', 60)
    await drains.look()
    assert.equal((await profileOf(row)).hostId, 'h1')
    host.script.removeVolume = async () => {}
    await drains.look()
    assert.equal(host.volumes.get(`h1 ${row.ownerHash}`), 'cookies of alice')
  })

  describe('breaks off', () => {
    /** As a gateway that has died in the middle: the copy at `to` is whole or not, and nobody renews the move. */
    const diedMoving = async (row: RuntimeRow, to: string) => {
      assert(await claimMove(database.db, await profileOf(row), to, 60_000))
      host.volumes.set(`${to} ${row.ownerHash}`, 'old cookies')
      await database.db.execute(`update profiles set moving_until = now() - interval '1 s'`)
    }

    it('with its gateway, and the owner goes on where the profile is: no copy is left to be taken for it later', async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      await diedMoving(row, 'h2')
      const { row: again } = await gateway.ensure(wanted('alice'), 5000)
      assert.equal(again.hostId, 'h1')
      await drains.look()
      assert.deepEqual([...host.volumes], [[`h1 ${row.ownerHash}`, 'cookies of alice']])
      assert.deepEqual(await due(), [])
    })

    it('with its gateway and the host it went to: another gateway moves it to a third, and no copy is left', async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      await addHost(database.db, 'h3', 10)
      await diedMoving(row, 'h2')
      await setSchedulable(database.db, 'h2', false)
      await drainHost(database.db, 'h1', 60)
      await drains.look()
      await drains.look()
      assert.equal((await profileOf(row)).hostId, 'h3')
      assert.deepEqual([...host.volumes], [[`h3 ${row.ownerHash}`, 'cookies of alice']])
    })

    it('with its gateway, and the profile is deleted: no copy is left', async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      await diedMoving(row, 'h2')
      assert.equal((await gateway.remove(row, true, 5000)).state, 'deleted')
      await drains.look()
      assert.deepEqual([...host.volumes], [])
    })

    it('with its gateway and the host it comes from: an owner who gives it up leaves no copy', async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      await diedMoving(row, 'h2')
      await database.db.execute(`update hosts set last_seen_at = now() - interval '1 h' where id = 'h1'`)
      await addHost(database.db, 'h3', 10, { memoryBytes: 90_000 })
      const { row: again } = await gateway.ensure(wanted('alice'), 8000, { freshProfile: true })
      assert.equal(again.state, 'running')
      await drains.look()
      assert.equal(host.volumes.has(`h2 ${row.ownerHash}`), false)
    })

    it('with the agent it comes from: the next look begins it anew', async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      await drainHost(database.db, 'h1', 60)
      host.script.read = async () => {
        throw new AgentUnreachable('the agent was killed')
      }
      await drains.look()
      assert.deepEqual([(await profileOf(row)).hostId, (await profileOf(row)).movingTo], ['h1', null])
      host.script.read = async () => {}
      await anew()
      assert.equal((await profileOf(row)).hostId, 'h2')
      await drains.look()
      assert.deepEqual([...host.volumes], [[`h2 ${row.ownerHash}`, 'cookies of alice']])
    })

    it('with a host that says nothing more: the owner does not wait for its connection to end', async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      await anew({ moveLeaseMs: 300 })
      const begun = Promise.withResolvers<void>()
      host.script.write = () => {
        begun.resolve()
        return new Promise(() => {})
      }
      await drainHost(database.db, 'h1', 60)
      const looking = drains.look()
      await begun.promise
      await database.db.execute(`update hosts set last_seen_at = now() - interval '21 s' where id = 'h2'`)
      await looking
      assert.deepEqual([(await profileOf(row)).hostId, (await profileOf(row)).movingTo], ['h1', null])
      await setSchedulable(database.db, 'h1', true)
      assert.equal((await gateway.ensure(wanted('alice'), 5000)).row.hostId, 'h1')
    })
  })

  it('a profile that is deleted after it has moved is removed where it is now', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    await drainHost(database.db, 'h1', 60)
    await drains.look()
    await drains.look()
    assert.deepEqual([(await rowOf(row)).hostId, [...host.volumes.keys()]], ['h1', [`h2 ${row.ownerHash}`]])
    assert.equal((await gateway.remove(row, true, 5000)).state, 'deleted')
    assert.deepEqual([...host.volumes], [])
    assert.deepEqual(await due(), [])
  })

  it('a profile that arrives elsewhere just as its owner is placed where it was is found where it is', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    const claimed = (await claimMove(database.db, await profileOf(row), 'h2', 60_000)) ?? assert.fail()
    assert(await finishMove(database.db, claimed))
    // Chosen while the profile was there; what is due there is gone by now.
    await database.db.execute('delete from volume_removals')
    assert.equal(await startOn(database.db, row, 'h1', leaseMs), 'moving')
    assert.equal((await profileOf(row)).hostId, 'h2')
    assert.equal((await gateway.ensure(wanted('alice'), 5000)).row.hostId, 'h2')
  })

  it('a move that outlived its lease can neither end nor be renewed', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    const claimed = (await claimMove(database.db, await profileOf(row), 'h2', 60_000)) ?? assert.fail()
    await database.db.execute(`update profiles set moving_until = now() - interval '1 s'`)
    assert.equal(await renewMove(database.db, claimed, 60_000), false)
    assert.equal(await finishMove(database.db, claimed), false)
    assert.equal((await profileOf(row)).hostId, 'h1')
  })
})
