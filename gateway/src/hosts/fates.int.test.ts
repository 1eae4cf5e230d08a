import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import {
  claimMove,
  claimOwner,
  connect,
  type Database,
  findHost,
  findProfile,
  findRuntimeById,
  findTenant,
  finishMove,
  freeReservation,
  loseRuntimesOfRemoved,
  loseRuntimesOfSilent,
  migrate,
  putTenant,
  type RuntimeRow,
  removeHost,
  settle,
  startOn,
  toDeleted,
  toDeleting,
  toFailedStillHeld,
  toPaused,
  toPending,
  toResumed,
  toRunning,
  toStopped,
  toStopping,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import type { RuntimeFacts } from '@porthole/protocol'
import { freshDatabase } from '../../../test/kit/database.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { AgentUnreachable } from '../agents/client.ts'
import { type Changes, listenForChanges } from '../runtimes/changes.ts'
import { leaseMs } from '../runtimes/driver.ts'
import { openRoom, type Room } from '../runtimes/room.ts'
import { codeOf, fakeHost, type TestGateway, testGateway } from '../runtimes/testing.ts'
import { reconcile } from './reconcile.ts'

const log = testLog('fates')
const error = { code: 'x', detail: 'y' }

/** What becomes of a runtime in each state. `back`: its host returns with the container of its own generation. */
type Fate = {
  /** Whether it holds room on its host. */
  holds: boolean
  /** Its host has been silent for a minute. */
  lost: string
  /** Its host was removed, with its profile. */
  removed: string
  /** Its host was removed when its profile had gone to another one. Absent: it cannot, as it is in use. */
  movedAndRemoved?: string
  back: { state: string; container: 'stays' | 'goes' }
  /** Whether its owner gets a runtime elsewhere while the host is away. */
  startsElsewhere: boolean
}

const runsOn = { state: 'running', container: 'stays' } as const
const elsewhere = true

const fates: Record<string, Fate> = {
  starting: { holds: true, lost: 'lost', removed: 'lost', back: runsOn, startsElsewhere: elsewhere },
  running: { holds: true, lost: 'lost', removed: 'lost', back: runsOn, startsElsewhere: elsewhere },
  'being paused': { holds: true, lost: 'lost', removed: 'lost', back: runsOn, startsElsewhere: elsewhere },
  paused: { holds: true, lost: 'lost', removed: 'lost', back: runsOn, startsElsewhere: elsewhere },
  'being resumed': { holds: true, lost: 'lost', removed: 'lost', back: runsOn, startsElsewhere: elsewhere },
  // Somebody wanted it to stop: it does not run on because its host was away.
  stopping: {
    ...{ holds: true, lost: 'lost', removed: 'lost' },
    ...{ back: { state: 'lost', container: 'goes' }, startsElsewhere: elsewhere },
  },
  stopped: {
    ...{ holds: false, lost: 'stopped', removed: 'lost', movedAndRemoved: 'stopped' },
    ...{ back: { state: 'stopped', container: 'goes' }, startsElsewhere: elsewhere },
  },
  'failed, and not cleaned up': {
    ...{ holds: true, lost: 'failed', removed: 'lost' },
    ...{ back: { state: 'failed', container: 'goes' }, startsElsewhere: elsewhere },
  },
  failed: {
    ...{ holds: false, lost: 'failed', removed: 'lost', movedAndRemoved: 'failed' },
    ...{ back: { state: 'failed', container: 'goes' }, startsElsewhere: elsewhere },
  },
  // It is its own mover's to say what becomes of the container.
  'failed, and to start again': {
    ...{ holds: true, lost: 'pending', removed: 'lost' },
    ...{ back: { state: 'pending', container: 'stays' }, startsElsewhere: elsewhere },
  },
  deleting: {
    ...{ holds: true, lost: 'deleting', removed: 'deleted' },
    ...{ back: { state: 'deleting', container: 'stays' }, startsElsewhere: false },
  },
  'stopped, and deleting': {
    ...{ holds: false, lost: 'deleting', removed: 'deleted', movedAndRemoved: 'deleted' },
    ...{ back: { state: 'deleting', container: 'stays' }, startsElsewhere: false },
  },
  deleted: {
    ...{ holds: false, lost: 'deleted', removed: 'deleted', movedAndRemoved: 'deleted' },
    ...{ back: { state: 'deleted', container: 'goes' }, startsElsewhere: elsewhere },
  },
}

describe('when the host of a runtime', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  const db = () => database.db

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
    await db().execute('truncate runtimes, profiles, hosts, events, tenants, volume_removals restart identity cascade')
    await putTenant(db(), { slug: 'default', mode: 'docker-per-principal' })
    for (const id of ['h1', 'h2']) await addHost(db(), id, 10)
  })

  const sure = <T>(value: T | string | undefined | null): T =>
    value === undefined || value === null || typeof value === 'string' ? assert.fail(String(value)) : value
  const rowOf = async ({ id }: RuntimeRow) => sure(await findRuntimeById(db(), id))
  const starting = async () => {
    const { row } = sure(await claimOwner(db(), wanted('alice'), 60_000))
    return sure(await startOn(db(), row, 'h1', 60_000))
  }
  const running = async () => sure(await toRunning(db(), await starting()))
  const paused = async () => sure(await toPaused(db(), await running(), 60_000, 'asked'))
  const stopping = async () => sure(await toStopping(db(), await running(), 60_000, 'asked'))
  const stopped = async () => sure(await toStopped(db(), await stopping()))
  const held = async () => sure(await toFailedStillHeld(db(), await running(), error))
  const deleting = async () => sure(await toDeleting(db(), await running(), true, 60_000))
  const afterwards = async (row: RuntimeRow, step: (row: RuntimeRow) => Promise<unknown>) => {
    await step(row)
    return rowOf(row)
  }

  const made: Record<string, () => Promise<RuntimeRow>> = {
    starting,
    running,
    'being paused': paused,
    paused: async () => afterwards(await paused(), row => settle(db(), row)),
    'being resumed': async () => sure(await toResumed(db(), await paused(), 60_000)),
    stopping,
    stopped,
    'failed, and not cleaned up': held,
    failed: async () => afterwards(await held(), row => freeReservation(db(), row)),
    'failed, and to start again': async () => sure(await toPending(db(), await held(), 60_000, 60_000)),
    deleting,
    'stopped, and deleting': async () => sure(await toDeleting(db(), await stopped(), false, 60_000)),
    deleted: async () => sure(await toDeleted(db(), await deleting())),
  }
  const make = (name: string): Promise<RuntimeRow> => (made[name] ?? assert.fail())()

  const silence = (seconds: number) =>
    db().execute(`update hosts set last_seen_at = now() - interval '${seconds} s' where id = 'h1'`)
  const isLost = async () => {
    await silence(61)
    await loseRuntimesOfSilent(db())
  }
  const isRemoved = async () => {
    assert.equal((await removeHost(db(), 'h1', { force: true }))?.removed, true)
    // What holds room and waits for some is ended in two looks.
    for (let look = 0; look < 3; look++) await loseRuntimesOfRemoved(db())
    assert.equal(await loseRuntimesOfRemoved(db()), 0)
  }
  const containerOf = ({ id, ownerHash, generation }: RuntimeRow): RuntimeFacts => ({
    ...{ id, ownerHash, generation },
    state: 'running',
  })
  const tell = (...facts: RuntimeFacts[]) => reconcile(db(), log, 'h1', facts, () => 0)
  const heldOn = async (id: string) => {
    const host = await db().query.hosts.findFirst({ where: (one, { eq }) => eq(one.id, id) })
    return [host?.reservedSlots, host?.reservedMemoryBytes]
  }
  const used = async () => {
    const tenant = await findTenant(db(), 'default')
    return [tenant?.usedRuntimes, tenant?.usedMemoryBytes]
  }
  const moveProfile = async (row: RuntimeRow) => {
    const profile = await findProfile(db(), row)
    // It went with the runtime.
    if (!profile) return
    assert(await finishMove(db(), sure(await claimMove(db(), profile, 'h2', 60_000))))
  }

  it('is away, every state has its fate', () => assert.deepEqual(Object.keys(made), Object.keys(fates)))

  for (const [name, fate] of Object.entries(fates))
    describe(`that is ${name}`, () => {
      it(`has been silent for a minute, it is ${fate.lost} and holds nothing, whoever looks how often`, async () => {
        const row = await make(name)
        assert.deepEqual(await heldOn('h1'), fate.holds ? [1, 1000] : [0, 0])
        await isLost()
        await Promise.all([isLost(), isLost()])
        assert.equal((await rowOf(row)).state, fate.lost)
        assert.deepEqual(
          [await heldOn('h1'), await used()],
          [
            [0, 0],
            [0, 0],
          ],
        )
      })

      it('has been silent for less, nothing is given up', async () => {
        const row = await make(name)
        await silence(59)
        assert.deepEqual(await loseRuntimesOfSilent(db()), [])
        assert.deepEqual((await rowOf(row)).state, row.state)
        assert.deepEqual(await heldOn('h1'), fate.holds ? [1, 1000] : [0, 0])
      })

      it(`was removed, it is ${fate.removed} and holds nothing`, async () => {
        const row = await make(name)
        await isRemoved()
        assert.equal((await rowOf(row)).state, fate.removed)
        assert.deepEqual(
          [await heldOn('h1'), await used()],
          [
            [0, 0],
            [0, 0],
          ],
        )
      })

      if (fate.movedAndRemoved)
        it(`was removed after its profile had gone elsewhere, it is ${fate.movedAndRemoved}`, async () => {
          const row = await make(name)
          await moveProfile(row)
          await isRemoved()
          assert.equal((await rowOf(row)).state, fate.movedAndRemoved)
        })

      for (const away of ['lost', 'removed'] as const)
        it(`was ${away} and is back with the container, that ${fate.back.container}`, async () => {
          const row = await make(name)
          await (away === 'lost' ? isLost : isRemoved)()
          await db().execute(`update hosts set last_seen_at = now(), removed_at = null where id = 'h1'`)
          const { remove, unknown } = await tell(containerOf(row))
          const now = await rowOf(row)
          assert.deepEqual(unknown, [])
          if (away === 'lost' || fate.removed === fate.lost) {
            assert.equal(now.state, fate.back.state)
            assert.equal(remove.length, fate.back.container === 'goes' ? 1 : 0)
          }
          // A row that runs holds its room again; one that does not has no container left.
          assert.deepEqual(await heldOn('h1'), now.state === 'running' ? [1, 1000] : [0, 0])
          if (now.state === 'deleted' || now.state === 'stopped') assert.equal(remove.length, 1)
          await tell(containerOf(row))
          assert.equal((await rowOf(row)).state, now.state)
        })

      it('is back with an older container, that goes and nothing else changes', async () => {
        const row = await make(name)
        await db().execute('update runtimes set generation = generation + 1')
        const before = await rowOf(row)
        const answer = await tell(containerOf(row))
        assert.deepEqual(answer.remove, [{ id: row.id, generation: row.generation }])
        assert.deepEqual(await rowOf(row), before)
      })

      it('has one that waited for an owner who was named since, only the start that names them takes it away', async () => {
        const row = await make(name)
        await db().execute('update runtimes set generation = generation + 1')
        const { remove } = await tell({ ...containerOf(row), ownerHash: 'f'.repeat(16) })
        assert.equal(remove.length, row.state === 'starting' ? 0 : 1)
      })

      it('is back without the container, nothing is freed that the host has not been asked about', async () => {
        const row = await make(name)
        await db().execute(`update runtimes set state_at = now() - interval '1 minute'`)
        await tell()
        assert.deepEqual(await heldOn('h1'), fate.holds ? [1, 1000] : [0, 0])
        const isMissed = ['running', 'paused'].includes(row.state)
        assert.equal((await rowOf(row)).state, isMissed ? 'failed' : row.state)
      })
    })

  describe('is away for good', () => {
    let changes: Changes
    let room: Room
    let gateway: TestGateway
    let host: ReturnType<typeof fakeHost>
    let isAway: boolean

    beforeEach(async () => {
      host = fakeHost()
      isAway = true
      changes = await listenForChanges(database)
      room = await openRoom({ database, leaseMs, carryOut: row => gateway.driver.take(row) })
      const { at } = host.agents
      const gone = async () => {
        throw new AgentUnreachable('away')
      }
      host.agents.at = address =>
        address.id === 'h1' && isAway
          ? { ...at(address), start: gone, stop: gone, remove: gone, probe: gone }
          : at(address)
    })
    afterEach(async () => {
      await gateway.driver.close(1000)
      await Promise.all([changes.close(), room.close()])
    })
    const open = () => {
      gateway = testGateway({ database, changes, room: () => room, host, log })
      return gateway
    }
    const reached = async (row: RuntimeRow, state: string) =>
      sure(await changes.until(row.id, now => now.state === state, 10_000))

    for (const [name, { startsElsewhere }] of Object.entries(fates))
      it(`the owner of one that is ${name} ${startsElsewhere ? 'goes on elsewhere' : 'waits for that'}`, async () => {
        const row = await make(name)
        await isLost()
        await db().execute('update runtimes set work_until = now() where work_until is not null')
        const { ensure } = open()
        const asked = ensure(wanted('alice'), startsElsewhere ? 8000 : 500, { freshProfile: true })
        if (!startsElsewhere) return assert.rejects(asked, codeOf('wrong-state'))
        const { row: now } = await asked
        assert.deepEqual([now.state, now.hostId], ['running', 'h2'])
        assert.deepEqual(
          [await heldOn('h1'), await heldOn('h2')],
          [
            [0, 0],
            [1, 1000],
          ],
        )
        // What its host still has of it is over, when it is back.
        if (now.id === row.id) assert.equal((await tell(containerOf(row))).remove.length, 1)
      })

    it('a deletion is under way until the host is back, and done then', async () => {
      const row = await running()
      await isLost()
      const { remove } = open()
      assert.equal((await remove(await rowOf(row), true, 300)).state, 'deleting')
      assert.equal((await remove(await rowOf(row), true, 300)).state, 'deleting')
      isAway = false
      await silence(0)
      await db().execute('update runtimes set work_until = now()')
      await reached(row, 'deleted')
      assert(host.calls.includes('remove with volume'))
    })

    it('a deletion is under way until the host is removed, and done then', async () => {
      const row = await running()
      const { remove } = open()
      assert.equal((await remove(row, true, 300)).state, 'deleting')
      await isRemoved()
      await reached(row, 'deleted')
      assert.equal(await findHost(db(), 'h1'), undefined)
      assert.deepEqual(
        [await heldOn('h1'), await used()],
        [
          [0, 0],
          [0, 0],
        ],
      )
    })
  })
})
