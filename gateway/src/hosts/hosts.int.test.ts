import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import {
  claimOwner,
  connect,
  type Database,
  findHost,
  findProfile,
  findRuntimeById,
  findTenant,
  listEvents,
  loseRuntimesOfRemoved,
  migrate,
  putTenant,
  type RuntimeRow,
  removeHost,
  standInLine,
  startOn,
  toDeleting,
  toFailedStillHeld,
  toPaused,
  toRunning,
  toStopped,
  toStopping,
  updateTenant,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import type { RuntimeFacts } from '@porthole/protocol'
import { freshDatabase } from '../../../test/kit/database.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { problemOf } from '../problem.ts'
import { watchLoss } from './loss.ts'
import { reconcile } from './reconcile.ts'

const log = testLog('hosts')

describe('hosts', { concurrency: false }, () => {
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
    await database.db.execute(
      'truncate runtimes, profiles, hosts, events, tenants, volume_removals restart identity cascade',
    )
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    for (const id of ['h1', 'h2', 'h3']) await addHost(database.db, id, 10)
  })

  const starting = async (owner: string, host = 'h1'): Promise<RuntimeRow> => {
    const claimed = await claimOwner(database.db, wanted(owner), 60_000)
    const row = claimed && (await startOn(database.db, claimed.row, host, 60_000))
    return typeof row === 'object' ? row : assert.fail(String(row))
  }
  const running = async (owner: string, host = 'h1') =>
    (await toRunning(database.db, await starting(owner, host))) ?? assert.fail()
  const factOf = (row: RuntimeRow, state: RuntimeFacts['state'], more: Partial<RuntimeFacts> = {}): RuntimeFacts => ({
    id: row.id,
    generation: row.generation,
    ownerHash: row.ownerHash,
    state,
    ...more,
  })
  const rowOf = async (row: RuntimeRow) => (await findRuntimeById(database.db, row.id)) ?? assert.fail()
  const silence = (seconds: number, ...hosts: string[]) =>
    database.db.execute(
      `update hosts set last_seen_at = now() - interval '${seconds} s' where id in ('${hosts.join("','")}')`,
    )
  const held = async (host = 'h1') => (await findHost(database.db, host))?.reservedSlots
  const used = async () => (await findTenant(database.db, 'default'))?.usedRuntimes
  const compare = (facts: RuntimeFacts[], host = 'h1', ageMs = 0) =>
    reconcile(database.db, log, host, facts, () => ageMs)
  const settle = () => database.db.execute(`update runtimes set state_at = now() - interval '1 minute'`)

  describe('that go silent', () => {
    /** A watch whose clock a test moves. */
    const watch = ({ db } = database) => {
      const clock = { now: 0 }
      const watching = watchLoss(db, log, { graceMs: 60_000, now: () => clock.now })
      after(() => watching.stop())
      /** Time goes by, with the looks that belong to it. */
      const pass = async (ms: number) => {
        for (const end = clock.now + ms; clock.now < end; ) {
          clock.now = Math.min(end, clock.now + 5000)
          await watching.look()
        }
      }
      return { ...watching, clock, pass }
    }

    it('lose their runtimes after a minute, and what they held is free once', async () => {
      const rows = [await running('alice'), await starting('bob'), await running('carol', 'h2')]
      const paused = (await toPaused(database.db, await running('dave'), 1000, 'asked')) ?? assert.fail()
      const { look, pass } = watch()
      await pass(61_000)
      await silence(59, 'h1')
      assert.equal(await look(), 0)
      await silence(61, 'h1')
      assert.equal(await look(), 3)
      assert.deepEqual(await Promise.all([...rows, paused].map(async row => (await rowOf(row)).state)), [
        'lost',
        'lost',
        'running',
        'lost',
      ])
      assert.deepEqual([await held('h1'), await held('h2'), await used()], [0, 1, 1])
      assert.equal(await look(), 0)
      const [last] = (await listEvents(database.db, rows[0] ?? assert.fail(), 0, 10)).slice(-1)
      assert.deepEqual([last?.toState, last?.reason], ['lost', 'host-lost'])
    })

    it('free what failed and leaving runtimes held, and those stay what they are', async () => {
      const failed = (await toFailedStillHeld(database.db, await running('alice'), {
        code: 'x',
        detail: 'x',
      })) as RuntimeRow
      const deleting = (await toDeleting(database.db, await running('bob'), false, 1000)) as RuntimeRow
      const { look, pass } = watch()
      await pass(61_000)
      await silence(61, 'h1')
      await look()
      assert.deepEqual([(await rowOf(failed)).state, (await rowOf(deleting)).state], ['failed', 'deleting'])
      assert.notEqual((await rowOf(deleting)).workUntil, null)
      assert.deepEqual([await held(), await used()], [0, 0])
    })

    it('are not given up by a gateway that has only just started', async () => {
      const row = await running('alice')
      await silence(600, 'h1')
      const { look, clock, pass } = watch()
      await pass(59_000)
      assert.equal((await rowOf(row)).state, 'running')
      clock.now = 60_000
      assert.equal(await look(), 1)
    })

    it('more than half of them at once get one whole grace, and lose nothing when they come back in it', async () => {
      await running('alice', 'h1')
      await running('bob', 'h2')
      const { pass } = watch()
      await pass(100_000)
      await silence(61, 'h1', 'h2')
      await pass(30_000)
      // The first to be back says nothing of the other one yet.
      await silence(0, 'h1')
      await pass(30_000)
      assert.deepEqual([await held('h1'), await held('h2')], [1, 1])
      await silence(0, 'h2')
      await pass(30_000)
      assert.deepEqual([await held('h1'), await held('h2')], [1, 1])
    })

    it('more than half of them at once, of which some stay away, lose those when the grace is over', async () => {
      await running('alice', 'h1')
      await running('bob', 'h2')
      const { look, pass } = watch()
      await pass(100_000)
      await silence(61, 'h1', 'h2')
      await look()
      await silence(0, 'h1')
      await pass(55_000)
      assert.deepEqual([await held('h1'), await held('h2')], [1, 1])
      await pass(5000)
      assert.deepEqual([await held('h1'), await held('h2')], [1, 0])
    })

    it('are not given up by who could not write the database, until a whole grace after it can be written again', async () => {
      await running('alice', 'h1')
      // One connection, so that its session's setting is that of all that is asked: as a full disk, answers and takes nothing.
      const readable = connect(fresh.url, { max: 1 })
      const { look, clock, pass, stop } = watch(readable)
      await pass(100_000)
      await silence(600, 'h1', 'h2', 'h3')
      await pass(50_000)
      for (const looks of [1, 25]) {
        await readable.db.execute('set default_transaction_read_only = on')
        for (let n = 0; n < looks; n++) {
          clock.now += 5000
          await assert.rejects(look(), (error: Error) => problemOf(error).code === 'database-unavailable')
        }
        await readable.db.execute('set default_transaction_read_only = off')
        await pass(55_000)
        assert.equal(await held('h1'), 1)
      }
      await silence(0, 'h1', 'h2', 'h3')
      await pass(70_000)
      assert.equal(await held('h1'), 1)
      await stop()
      await readable.close()
    })

    it('more than half of them are given up when the grace is over', async () => {
      await running('alice', 'h1')
      await running('bob', 'h2')
      const { pass } = watch()
      await pass(100_000)
      await silence(70, 'h1', 'h2')
      await pass(60_000)
      assert.deepEqual([await held('h1'), await held('h2')], [1, 1])
      await pass(10_000)
      assert.deepEqual([await held('h1'), await held('h2')], [0, 0])
    })

    it('are not given up by who could not look for a while, however long everybody has been silent then', async () => {
      await running('alice', 'h1')
      const { look, clock, pass } = watch()
      await pass(100_000)
      // As after an outage of the database: nobody could report, and the first look comes before the first heartbeat.
      await silence(600, 'h1', 'h2', 'h3')
      clock.now += 200_000
      assert.equal(await look(), 0)
      await silence(0, 'h1', 'h2', 'h3')
      await pass(70_000)
      assert.equal(await held('h1'), 1)
    })

    it('two gateways that look at the same moment free everything once', async () => {
      for (const owner of 'abcdef') await running(owner)
      const watches = [watch(), watch()]
      for (const { pass } of watches) await pass(61_000)
      await silence(61, 'h1')
      const lost = await Promise.all(watches.map(({ look }) => look()))
      assert.equal(
        lost.reduce((sum, n) => sum + n, 0),
        6,
      )
      assert.deepEqual([await held(), await used()], [0, 0])
    })
  })

  describe('that come back', () => {
    const lost = async (owner: string) => {
      const row = await running(owner)
      await silence(61, 'h1')
      const watching = watchLoss(database.db, log, { graceMs: 0 })
      await watching.look()
      await watching.stop()
      await silence(0, 'h1')
      assert.equal((await rowOf(row)).state, 'lost')
      return row
    }

    it('keep a lost runtime of the current generation, and hold its room again', async () => {
      const row = await lost('alice')
      assert.deepEqual(await compare([factOf(row, 'running')]), { remove: [], unknown: [] })
      const now = await rowOf(row)
      assert.deepEqual([now.state, now.error, now.reserved, now.counted], ['running', null, true, true])
      assert.deepEqual([await held(), await used()], [1, 1])
    })

    it('keep it although the host is cordoned, and although others of its tenant wait in line', async () => {
      const row = await lost('alice')
      await database.db.execute(
        `update hosts set schedulable = false, drain_until = now() + interval '1 h' where id = 'h1'`,
      )
      await updateTenant(database.db, 'default', { atCap: 'queue' })
      const { row: waiting } = (await claimOwner(database.db, wanted('bob'), 60_000, 60_000)) ?? assert.fail()
      await standInLine(database.db, waiting, 'quota')
      assert.deepEqual(await compare([factOf(row, 'running')]), { remove: [], unknown: [] })
      assert.equal((await rowOf(row)).state, 'running')
    })

    it('keep its profile too, though the host was removed by force in between', async () => {
      const row = await running('alice')
      await removeHost(database.db, 'h1', { force: true })
      await loseRuntimesOfRemoved(database.db)
      assert.equal((await database.db.query.volumeRemovals.findMany()).length, 1)
      await database.db.execute(`update hosts set removed_at = null where id = 'h1'`)
      await compare([factOf(row, 'running')])
      assert.equal((await rowOf(row)).state, 'running')
      assert.equal((await findProfile(database.db, row))?.hostId, 'h1')
      assert.deepEqual(await database.db.query.volumeRemovals.findMany(), [])
    })

    it('remove a lost runtime for which there is no room any more', async () => {
      const row = await lost('alice')
      await updateTenant(database.db, 'default', { maxRuntimes: 0 })
      assert.deepEqual(await compare([factOf(row, 'running')]), {
        remove: [{ id: row.id, generation: 1 }],
        unknown: [],
      })
      assert.equal((await rowOf(row)).state, 'lost')
      assert.deepEqual([await held(), await used()], [0, 0])
    })

    it('remove what has been started elsewhere meanwhile', async () => {
      const row = await lost('alice')
      // Given up by its owner while the host was away.
      await database.db.execute('delete from profiles')
      const started = await startOn(database.db, await rowOf(row), 'h2', 60_000)
      assert(typeof started === 'object')
      await toRunning(database.db, started)
      assert.deepEqual(await compare([factOf(row, 'running')]), {
        remove: [{ id: row.id, generation: 1 }],
        unknown: [],
      })
      assert.equal((await rowOf(row)).hostId, 'h2')
    })
  })

  describe('and what they have', () => {
    it('that runs as it should is left alone', async () => {
      const row = await running('alice')
      await settle()
      const before = await rowOf(row)
      assert.deepEqual(await compare([factOf(row, 'running')]), { remove: [], unknown: [] })
      assert.deepEqual(await rowOf(row), before)
    })

    it('that nobody knows is named, not removed', async () => {
      const fact = { ...factOf(await running('alice'), 'running'), id: `rt_${'0'.repeat(26)}` }
      const { remove, unknown } = await compare([fact])
      assert.deepEqual([remove, unknown], [[], [{ id: fact.id, generation: 1 }]])
    })

    it('that is of a stopped or deleted runtime is to be removed', async () => {
      const stopping = (await toStopping(database.db, await running('alice'), 1000, 'asked')) ?? assert.fail()
      assert.deepEqual(await compare([factOf(stopping, 'running')]), { remove: [], unknown: [] })
      await toStopped(database.db, stopping)
      assert.deepEqual((await compare([factOf(stopping, 'running')])).remove, [{ id: stopping.id, generation: 1 }])
    })

    it('that is ahead of its row is left to people', async () => {
      const row = await running('alice')
      const answer = await compare([factOf(row, 'running', { generation: 2 })])
      assert.deepEqual(answer, { remove: [], unknown: [] })
      assert.equal((await rowOf(row)).state, 'running')
    })

    it('that has ended fails its runtime, with the exit code, and holds its room until the host has cleaned up', async () => {
      const row = await running('alice')
      await compare([factOf(row, 'exited', { exitCode: 137 })])
      const now = await rowOf(row)
      assert.deepEqual([now.state, now.error?.exitCode, now.reserved], ['failed', 137, true])
    })

    it('that is missing fails its runtime, but not one that has only just started', async () => {
      const row = await running('alice')
      await compare([])
      assert.equal((await rowOf(row)).state, 'running')
      await settle()
      await compare([], 'h2')
      assert.equal((await rowOf(row)).state, 'running')
      await compare([])
      const now = await rowOf(row)
      assert.deepEqual([now.state, now.error?.detail], ['failed', 'its container is gone'])
    })

    it('that is missing in an inventory which has waited too long is not judged', async () => {
      const row = await running('alice')
      await settle()
      await compare([], 'h1', 5001)
      assert.equal((await rowOf(row)).state, 'running')
    })

    it('that is missing is not judged before a start has had time to be listed by a slow host', async () => {
      const row = await running('alice')
      await database.db.execute(`update runtimes set state_at = now() - interval '20 s'`)
      await compare([])
      assert.equal((await rowOf(row)).state, 'running')
    })

    it('that was frozen behind our back is looked at again', async () => {
      const row = await running('alice')
      await compare([factOf(row, 'paused')])
      const now = await rowOf(row)
      assert.equal(now.state, 'running')
      assert.notEqual(now.workUntil, null)
    })
  })
})
