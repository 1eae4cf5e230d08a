import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import {
  abandonMove,
  claimMove,
  claimRemoval,
  connect,
  type Database,
  drainHost,
  findHost,
  findProfile,
  findRuntimeById,
  finishMove,
  forgetRemoval,
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
import { fakeHost, refusal, type TestGateway, testGateway } from '../runtimes/testing.ts'
import { type DrainWatch, watchDrains } from './drain.ts'
import { holdMove } from './drain-hold.ts'

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

  type Options = { moveLeaseMs?: number; againMs?: number; db?: Database['db'] }
  const watch = (more: Options = {}): DrainWatch =>
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
  const anew = async (more: Options = {}) => {
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

  const lapse = () => database.db.execute(`update profiles set moving_until = now() - interval '1 s'`)

  it('one profile is moved by one gateway, and by the next one when that dies; back again, it has no say', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    const profile = await profileOf(row)
    const claims = await Promise.all([1, 2, 3].map(() => claimMove(database.db, profile, 'h2', 60_000)))
    assert.equal(claims.filter(Boolean).length, 1)
    await drainHost(database.db, 'h1', 60)
    await drains.look()
    assert.equal((await profileOf(row)).hostId, 'h1')
    await lapse()
    // What the dead one has left there goes first.
    for (let looks = 0; looks < 3; looks++) await drains.look()
    const moved = await profileOf(row)
    assert.equal(moved.hostId, 'h2')
    const dead = claims.find(Boolean) ?? assert.fail()
    assert.equal(await renewMove(database.db, dead, 60_000), false)
    assert.equal(await finishMove(database.db, dead), false)
    await abandonMove(database.db, dead)
    assert.deepEqual(await profileOf(row), moved)
    await drains.look()
    assert.deepEqual([...host.volumes], [[`h2 ${row.ownerHash}`, 'cookies of alice']])
    assert.deepEqual(await due(), [])
  })

  it('a move that has lapsed has no say in the next one, to the same host', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    const claim = async () => claimMove(database.db, await profileOf(row), 'h2', 60_000)
    const first = (await claim()) ?? assert.fail()
    await lapse()
    assert.equal(await claim(), undefined)
    assert.equal((await due()).length, 1)
    await drains.look()
    const second = (await claim()) ?? assert.fail()
    const seen = await profileOf(row)
    assert.equal(await renewMove(database.db, first, 90_000), false)
    assert.equal(await finishMove(database.db, first), false)
    await abandonMove(database.db, first)
    assert.deepEqual([await profileOf(row), await due()], [seen, []])
    assert.equal(await finishMove(database.db, second), true)
  })

  it('a mover that comes back while the next one copies to the same host takes the profile from nobody', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    const [begun, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    host.script.write = () => {
      begun.resolve()
      return goOn.promise
    }
    await drainHost(database.db, 'h1', 60)
    const first = drains.look()
    await begun.promise
    await lapse()
    let copies = 0
    host.script.write = async () => {
      copies++
      goOn.resolve()
      await first
      // As its agent does: what the first one has written is dropped with the copy that fails.
      host.volumes.delete(`h2 ${row.ownerHash}`)
      throw new AgentUnreachable('cut')
    }
    const next = watch()
    try {
      for (let looks = 0; looks < 3; looks++) await next.look()
    } finally {
      await next.stop()
    }
    assert.equal(copies, 1)
    assert.deepEqual([(await profileOf(row)).hostId, (await profileOf(row)).movingTo], ['h1', null])
    await drains.look()
    assert.equal(host.volumes.get(`h1 ${row.ownerHash}`), 'cookies of alice')
  })

  it('a mover that cannot renew its move ends its copy before others may begin theirs', async () => {
    await stopped('alice')
    await addHost(database.db, 'h2', 10)
    const own = connect(fresh.url, { max: 2 })
    const begun = Promise.withResolvers<void>()
    host.script.write = () => {
      begun.resolve()
      return new Promise(() => {})
    }
    await drainHost(database.db, 'h1', 60)
    await drains.stop()
    drains = watch({ db: own.db, moveLeaseMs: 900 })
    const looking = drains.look()
    await begun.promise
    await own.close()
    await looking
  })

  it('a mover that stood still beyond its lease knows so before any timer of its own', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    const askedAt = performance.now()
    const claimed = (await claimMove(database.db, await profileOf(row), 'h2', 60_000)) ?? assert.fail()
    const held = holdMove(database.db, claimed, askedAt, 60_000)
    held.check()
    held.release()
    const late = holdMove(database.db, claimed, askedAt - 60_000, 60_000)
    try {
      assert.equal(late.signal.aborted, false)
      assert.throws(() => late.check(), /could not be renewed in time/)
      assert.equal(late.signal.aborted, true)
    } finally {
      late.release()
    }
  })

  describe('a host that cannot take a profile', () => {
    beforeEach(async () => {
      await drains.stop()
      drains = watch({ againMs: 0 })
    })

    it('for want of disk is sent nothing, and another one takes it', async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      const least = 2 ** 30
      await database.db.execute(`update hosts set disk_free_bytes = ${least + 'cookies of alice'.length - 1}`)
      await drainHost(database.db, 'h1', 60)
      host.script.write = () => assert.fail('it was sent there')
      for (let looks = 0; looks < 3; looks++) await drains.look()
      assert.deepEqual([(await profileOf(row)).hostId, await due()], ['h1', []])
      host.script.write = async () => {}
      await addHost(database.db, 'h3', 10, { memoryBytes: 90_000 })
      await drains.look()
      assert.equal((await profileOf(row)).hostId, 'h3')
      await database.db.execute(`update hosts set disk_free_bytes = ${least + 'cookies of alice'.length}`)
    })

    it('is passed over for a while where there is another one, and tried again where there is none', async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      host.script.write = async () => {
        throw new AgentUnreachable('cut')
      }
      await drainHost(database.db, 'h1', 60)
      await drains.look()
      await drains.look()
      host.script.write = async () => {}
      await database.db.execute('delete from volume_removals')
      // Worse than the other, but for that.
      await addHost(database.db, 'h3', 1, { memoryBytes: 90_000 })
      await drains.look()
      assert.equal((await profileOf(row)).hostId, 'h3')
      await addHost(database.db, 'h4', 10)
      await drainHost(database.db, 'h3', 60)
      await drainHost(database.db, 'h2', 60)
      await drains.look()
      assert.equal((await profileOf(row)).hostId, 'h4')
    })

    it('because it still has an old volume of that name takes it once that is removed', async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      host.volumes.set(`h2 ${row.ownerHash}`, 'old cookies')
      await drainHost(database.db, 'h1', 60)
      for (let looks = 0; looks < 3; looks++) await drains.look()
      assert.equal((await profileOf(row)).hostId, 'h2')
      assert.equal(host.volumes.get(`h2 ${row.ownerHash}`), 'cookies of alice')
    })

    it('an old volume there does not become the profile of an owner who has none', async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      host.volumes.delete(`h1 ${row.ownerHash}`)
      host.volumes.set(`h2 ${row.ownerHash}`, 'old cookies')
      await drainHost(database.db, 'h1', 60)
      for (let looks = 0; looks < 3; looks++) await drains.look()
      assert.equal((await profileOf(row)).hostId, 'h2')
      assert.deepEqual([...host.volumes], [])
    })
  })

  describe('a removal', () => {
    const left = async () => {
      const row = await stopped('alice')
      await addHost(database.db, 'h2', 10)
      await drainHost(database.db, 'h1', 60)
      let told = 0
      host.script.removeVolume = async () => {
        told++
      }
      return { row, told: () => told, count: () => told++ }
    }

    it('is told to a host by one gateway at a time', async () => {
      const { told, count } = await left()
      const [begun, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const toldTwice = Promise.withResolvers<void>()
      host.script.removeVolume = () => {
        count()
        begun.resolve()
        if (told() > 1) toldTwice.resolve()
        return goOn.promise
      }
      await drains.look()
      const looking = drains.look()
      await begun.promise
      const other = watch()
      try {
        // One that tells the host too would not be done before it has an answer.
        await Promise.race([other.look(), toldTwice.promise])
        assert.equal(told(), 1)
      } finally {
        goOn.resolve()
        await other.stop()
      }
      await looking
      assert.deepEqual(await due(), [])
    })

    it('without an answer may still arrive: the name is not used again until it cannot', async () => {
      const { row, told, count } = await left()
      host.script.removeVolume = async () => {
        count()
        throw new AgentUnreachable('no answer')
      }
      await drains.look()
      await drains.look()
      await setSchedulable(database.db, 'h1', true)
      await drainHost(database.db, 'h2', 60)
      await anew()
      await anew()
      assert.deepEqual([told(), (await profileOf(row)).hostId], [1, 'h2'])
      assert.equal((await due()).length, 1)
      await database.db.execute(`update volume_removals set claimed_until = now() - interval '1 s'`)
      host.script.removeVolume = async () => {}
      await anew()
      await anew()
      assert.deepEqual(
        [(await profileOf(row)).hostId, host.volumes.get(`h1 ${row.ownerHash}`)],
        ['h1', 'cookies of alice'],
      )
    })

    it('that a host has refused, or that never got there, is free for anybody at once', async () => {
      const { told, count } = await left()
      const refusals = [
        refusal('engine-unavailable'),
        new AgentUnreachable('x', { cause: refusal('keys-unavailable') }),
        new AgentUnreachable('x', { cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }) }),
      ]
      host.script.removeVolume = async () => {
        count()
        const next = refusals.pop()
        if (next) throw next
      }
      await drains.look()
      for (let looks = 0; looks < 4; looks++) await anew()
      assert.equal(told(), 4)
      assert.deepEqual(await due(), [])
    })

    it('is forgotten by nobody whose time for it is over', async () => {
      await left()
      host.script.removeVolume = async () => {
        throw new AgentUnreachable('no answer')
      }
      await drains.look()
      await drains.stop()
      const [{ id } = assert.fail()] = await due()
      const first = (await claimRemoval(database.db, id, 60_000)) ?? assert.fail()
      assert.equal(await claimRemoval(database.db, id, 60_000), undefined)
      await database.db.execute(`update volume_removals set claimed_until = now() - interval '1 s'`)
      await forgetRemoval(database.db, first)
      assert.equal((await due()).length, 1)
      const second = (await claimRemoval(database.db, id, 60_000)) ?? assert.fail()
      await forgetRemoval(database.db, first)
      assert.equal((await due()).length, 1)
      await forgetRemoval(database.db, second)
      assert.deepEqual(await due(), [])
    })
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

  it('a profile does not go where a volume of that name is still to be removed', async () => {
    const row = await stopped('alice')
    await addHost(database.db, 'h2', 10)
    await drainHost(database.db, 'h1', 60)
    host.script.removeVolume = async () => {
      throw refusal('busy')
    }
    await drains.look()
    assert.equal((await due()).length, 1)
    await setSchedulable(database.db, 'h1', true)
    await drainHost(database.db, 'h2', 60)
    await anew()
    assert.equal((await profileOf(row)).hostId, 'h2')
    host.script.removeVolume = async () => {}
    await anew()
    await anew()
    await drains.look()
    assert.deepEqual([...host.volumes], [[`h1 ${row.ownerHash}`, 'cookies of alice']])
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
