import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { eq, sql } from 'drizzle-orm'
import { freshDatabase } from '../../test/kit/database.ts'
import { connect, type Database, type Db } from './connect.ts'
import { recheck, toFound } from './loss.ts'
import { migrate } from './migrate.ts'
import { settle, standInLine, toPaused, toPending, toResumed, waitForRoom } from './room.ts'
import {
  claimOwner,
  findRuntimeById,
  freeReservation,
  leaseWork,
  move,
  startOn,
  toDeleted,
  toDeleting,
  toFailedAndFree,
  toFailedStillHeld,
  toPlaceAnew,
  toRunning,
  toStopped,
  toStopping,
} from './runtimes.ts'
import { events, hosts, profiles, type RuntimeRow, runtimes, tenants } from './schema.ts'
import { moves, type RuntimeState, runtimeStates } from './states.ts'
import { putTenant } from './tenants.ts'
import { addHost, wanted } from './testing.ts'

const lease = 60_000
const error = { code: 'x', detail: 'y' }
/** The generation that the rows are of; whoever saw the one before is too late. */
const generation = 5

type Writer = {
  from: readonly RuntimeState[]
  /** What it holds while it is there; default: a place on its host, counted. */
  holds?: Partial<Pick<RuntimeRow, 'reserved' | 'counted' | 'workUntil'>>
  write: (db: Db, seen: RuntimeRow) => Promise<unknown>
}

const nothing = { reserved: false, counted: false }
const frozen = { reserved: true, counted: false }
const reachable: readonly RuntimeState[] = runtimeStates.filter(state => state !== 'deleted')

/** Everything that writes to a runtime as its caller has seen it. */
const writers: Record<string, Writer> = {
  startOn: {
    from: ['pending', 'stopped', 'failed', 'lost'],
    holds: nothing,
    write: (db, seen) => startOn(db, seen, 'h1', lease),
  },
  'startOn its own host': {
    from: ['pending', 'starting', 'failed'],
    write: (db, seen) => startOn(db, seen, 'h1', lease),
  },
  toPlaceAnew: { from: ['starting'], write: (db, seen) => toPlaceAnew(db, seen, lease) },
  toRunning: { from: ['starting'], write: toRunning },
  toFailedAndFree: {
    from: ['pending', 'starting', 'running', 'stopping'],
    write: (db, seen) => toFailedAndFree(db, seen, error),
  },
  toFailedStillHeld: {
    from: ['pending', 'starting', 'running', 'stopping'],
    write: (db, seen) => toFailedStillHeld(db, seen, error),
  },
  'toFailedStillHeld of a frozen one': {
    from: ['paused'],
    holds: frozen,
    write: (db, seen) => toFailedStillHeld(db, seen, error),
  },
  toStopping: { from: ['pending', 'starting', 'running'], write: (db, seen) => toStopping(db, seen, lease, 'asked') },
  toStopped: { from: ['stopping'], write: toStopped },
  toDeleting: {
    from: reachable.filter(state => state !== 'deleting'),
    holds: nothing,
    write: (db, seen) => toDeleting(db, seen, true, lease),
  },
  toDeleted: { from: ['deleting'], write: toDeleted },
  toPending: { from: ['stopped', 'lost'], holds: nothing, write: (db, seen) => toPending(db, seen, lease, lease) },
  toPaused: { from: ['running'], write: (db, seen) => toPaused(db, seen, lease, 'asked') },
  toResumed: { from: ['paused'], holds: frozen, write: (db, seen) => toResumed(db, seen, lease) },
  toFound: { from: ['lost'], holds: nothing, write: (db, seen) => toFound(db, seen, 'running') },
  'move to lost': { from: ['starting', 'running', 'stopping'], write: (db, seen) => move(db, seen, { to: 'lost' }) },
  freeReservation: { from: ['failed', 'pending', 'deleting'], write: freeReservation },
  settle: { from: ['running', 'paused'], write: settle },
  leaseWork: { from: ['starting', 'stopping', 'deleting'], write: (db, seen) => leaseWork(db, seen, 2 * lease) },
  recheck: { from: ['running'], holds: { workUntil: null }, write: recheck },
  standInLine: { from: ['pending'], holds: nothing, write: (db, seen) => standInLine(db, seen, 'quota') },
  waitForRoom: { from: ['pending'], holds: nothing, write: (db, seen) => waitForRoom(db, seen, lease) },
}

describe('whoever saw an older generation', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  const db = () => database.db

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 4 })
    await putTenant(db(), { slug: 'default', mode: 'docker-per-principal' })
  })
  after(async () => {
    await database.close()
    await fresh.drop()
  })
  beforeEach(async () => {
    await db().execute(sql`truncate runtimes, profiles, hosts, events restart identity cascade`)
    await db().update(tenants).set({ usedRuntimes: 0, usedMemoryBytes: 0, usedCpuMillis: 0, queueLimit: 5 })
  })

  /** A runtime in that state on `h1`, and the books as they are then. */
  const put = async (state: RuntimeState, { holds = {} }: Pick<Writer, 'holds'>): Promise<RuntimeRow> => {
    await addHost(db(), 'h1', 3)
    const row = (await claimOwner(db(), wanted('alice'), lease))?.row ?? assert.fail()
    const is = { reserved: true, counted: true, ...holds }
    await db()
      .update(runtimes)
      .set({ workUntil: new Date(Date.now() + lease), ...is, state, generation, hostId: 'h1' })
      .where(eq(runtimes.id, row.id))
    if (is.reserved) {
      const [memory, cpu] = [row.needMemoryBytes, row.needCpuMillis]
      await db().update(hosts).set({ reservedSlots: 1, reservedMemoryBytes: memory, reservedCpuMillis: cpu })
      await db().update(tenants).set({ usedMemoryBytes: memory, usedCpuMillis: cpu })
    }
    if (is.counted) await db().update(tenants).set({ usedRuntimes: 1 })
    return (await findRuntimeById(db(), row.id)) ?? assert.fail()
  }
  const everything = async () => ({
    runtimes: await db().select().from(runtimes),
    hosts: await db().select().from(hosts),
    tenants: await db().select().from(tenants),
    profiles: await db().select().from(profiles),
    events: await db().select().from(events).orderBy(events.seq),
  })

  for (const [name, writer] of Object.entries(writers))
    for (const state of writer.from)
      it(`writes nothing with ${name} on a runtime that is ${state}`, async () => {
        const row = await put(state, writer)
        const before = await everything()
        await writer.write(db(), { ...row, generation: generation - 1 })
        assert.deepEqual(await everything(), before)
        // With the right one it does: the row was in its way for no other reason.
        await writer.write(db(), row)
        assert.notDeepEqual(await everything(), before)
      })

  for (const from of runtimeStates)
    for (const to of moves[from])
      it(`does not move it from ${from} to ${to}`, async () => {
        const row = await put(from, { holds: nothing })
        const before = await everything()
        assert.equal(await move(db(), { ...row, generation: generation - 1 }, { to }), undefined)
        assert.deepEqual(await everything(), before)
        assert.equal((await move(db(), row, { to }))?.state, to)
      })
})
