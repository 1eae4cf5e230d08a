import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { sql } from 'drizzle-orm'
import { freshDatabase } from '../../test/kit/database.ts'
import { connect, type Database } from './connect.ts'
import { putHost, removeHost } from './hosts.ts'
import { toFound } from './loss.ts'
import { migrate } from './migrate.ts'
import { toPaused, toPending, toResumed } from './room.ts'
import {
  claimOwner,
  findLive,
  freeReservation,
  listRuntimes,
  loseRuntimesOfRemoved,
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
import type { RuntimeRow } from './schema.ts'
import type { RuntimeState } from './states.ts'
import { addTenant } from './tenants.ts'
import { addHost, wanted } from './testing.ts'

/** Set to the one that a failed run has printed; which worker comes first is still Postgres's to say. */
const seed = 20_260_401
const workers = 8
/** Operations that have an effect, and how many are tried at most to get there. */
const operations = 300
const tries = 20 * operations
/** How often each kind has to be among them. */
const timesEach = 2
const lease = 60_000
const error = { code: 'x', detail: 'y' }
const hostIds = ['h1', 'h2', 'h3', 'h4']
const tenants = ['acme', 'default']

/** Mulberry32: numbers from 0 to 1, the same for the same seed. */
const randomOf = (start: number) => {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

describe('capacity and quota under eight workers at once', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  const db = () => database.db

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: workers + 2 })
    const lastSeenAt = new Date(Date.now() + 3_600_000)
    // Each is short of something else.
    await addHost(db(), 'h1', 1, { lastSeenAt, memoryBytes: 99_000, cpuMillis: 9900, gpus: 9 })
    await addHost(db(), 'h2', 2, { lastSeenAt, memoryBytes: 99_000, slots: 99, gpus: 9 })
    await addHost(db(), 'h3', 2, { lastSeenAt, cpuMillis: 9900, slots: 99, gpus: 9 })
    await addHost(db(), 'h4', 99, { lastSeenAt, gpus: 1 })
    await addTenant(db(), { slug: 'acme', mode: 'shared', maxRuntimes: 3, maxMemoryBytes: 4000 })
    await addTenant(db(), { slug: 'default', mode: 'docker-per-principal', maxCpuMillis: 400 })
    // The database itself says no to whatever goes over a limit, also for a moment within a transaction.
    await db().execute(sql`alter table hosts add constraint within_capacity check (
      reserved_slots <= slots and reserved_memory_bytes <= memory_bytes
      and reserved_cpu_millis <= cpu_millis and reserved_gpus <= gpus)`)
    await db().execute(sql`alter table tenants add constraint within_quota check (
      used_runtimes <= coalesce(max_runtimes, used_runtimes)
      and used_memory_bytes <= coalesce(max_memory_bytes, used_memory_bytes)
      and used_cpu_millis <= coalesce(max_cpu_millis, used_cpu_millis))`)
  })
  after(async () => {
    await database.close()
    await fresh.drop()
  })

  /** Hosts and tenants whose totals are not the sum over the rows, and rows that hold what they may not: none. */
  const faults = async () => [
    ...(await db().execute(sql`
      select h.* from hosts h, lateral (
        select count(*) slots, coalesce(sum(need_memory_bytes), 0) memory, coalesce(sum(need_cpu_millis), 0) cpu,
          coalesce(sum(need_gpus), 0) gpus
        from runtimes where host_id = h.id and reserved
      ) held
      where (h.reserved_slots, h.reserved_memory_bytes, h.reserved_cpu_millis, h.reserved_gpus)
        is distinct from (held.slots, held.memory, held.cpu, held.gpus)`)),
    ...(await db().execute(sql`
      select t.* from tenants t, lateral (
        select count(*) filter (where counted) runtimes, coalesce(sum(need_memory_bytes) filter (where reserved), 0) memory,
          coalesce(sum(need_cpu_millis) filter (where reserved), 0) cpu
        from runtimes where tenant = t.slug
      ) held
      where (t.used_runtimes, t.used_memory_bytes, t.used_cpu_millis)
        is distinct from (held.runtimes, held.memory, held.cpu)`)),
    ...(await db().execute(sql`
      select * from runtimes
      where (reserved or counted) and state in ('stopped', 'lost', 'deleted')
        or not (reserved and counted) and state in ('starting', 'running')
        or (counted or not reserved) and state = 'paused'`)),
  ]

  it('never exceed a limit, and are the sum over the rows, whatever comes after what', async t => {
    t.diagnostic(`seed ${seed}`)
    const done = new Map<string, number>()
    const refused = new Map<string, number>()
    /** What workers have seen, for one of them to act on much later. */
    const snapshots: RuntimeRow[] = []

    type Steps = Record<string, (row: RuntimeRow) => Promise<unknown>>
    const stepsOf = (random: () => number): Record<RuntimeState, Steps> => {
      const anyHost = () => hostIds[Math.floor(random() * hostIds.length)] ?? assert.fail()
      const start = (row: RuntimeRow) =>
        startOn(db(), row, row.reserved && row.hostId !== null ? row.hostId : anyHost(), lease)
      const stop = (row: RuntimeRow) => toStopping(db(), row, lease, 'asked')
      const remove = (row: RuntimeRow) => toDeleting(db(), row, random() < 0.5, lease)
      const holdFailed = (row: RuntimeRow) => toFailedStillHeld(db(), row, error)
      const free = (row: RuntimeRow) => toFailedAndFree(db(), row, error)
      const wait = (row: RuntimeRow) => toPending(db(), row, lease, lease)
      return {
        pending: { startOn: start, toStopping: stop, toFailedAndFree: free, toDeleting: remove },
        starting: {
          ...{ toRunning: row => toRunning(db(), row), toStopping: stop, toFailedAndFree: free },
          ...{ toFailedStillHeld: holdFailed, toDeleting: remove, toPlaceAnew: row => toPlaceAnew(db(), row, lease) },
        },
        running: {
          ...{ toPaused: row => toPaused(db(), row, lease, 'asked'), toStopping: stop },
          ...{ toFailedStillHeld: holdFailed, toDeleting: remove },
        },
        paused: {
          ...{ toResumed: row => toResumed(db(), row, lease), toStopping: stop },
          ...{ toFailedStillHeld: holdFailed, toDeleting: remove },
        },
        stopping: { toStopped: row => toStopped(db(), row), toDeleting: remove },
        stopped: { startOn: start, toPending: wait, toDeleting: remove },
        failed: {
          ...{ freeReservation: row => freeReservation(db(), row), startOn: start },
          ...{ toPending: wait, toDeleting: remove },
        },
        lost: { startOn: start, toFound: row => toFound(db(), row, 'running'), toDeleting: remove },
        deleting: { toDeleted: row => toDeleted(db(), row) },
        deleted: {},
      }
    }

    const note = (name: string, result: unknown) => {
      const book = result === undefined || typeof result === 'string' || result === false ? refused : done
      book.set(name, (book.get(name) ?? 0) + 1)
    }

    const kinds = new Set(Object.values(stepsOf(Math.random)).flatMap(Object.keys))
    const timesOf = (name: string) => done.get(name) ?? 0
    const isEnough = () =>
      done.values().reduce((sum, times) => sum + times, 0) >= operations &&
      [...kinds].every(name => timesOf(name) >= timesEach)
    let left = tries

    const work = async (worker: number) => {
      const random = randomOf(seed + worker)
      const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] ?? assert.fail()
      const steps = stepsOf(random)

      const replaceHost = async () => {
        const id = pick(hostIds)
        note('removeHost', (await removeHost(db(), id, { force: true }))?.removed)
        note('loseRuntimesOfRemoved', (await loseRuntimesOfRemoved(db())) > 0)
        await putHost(db(), { id, name: id, url: 'http://127.0.0.1:1', publicKey: id, certificate: null })
      }
      /** An owner's runtime, made where there is none. */
      const look = async () => {
        const tenant = pick(tenants)
        const size = pick([1, 1, 2])
        const begun = wanted(`${tenant.slice(0, 1)}${Math.floor(random() * 7)}`, { tenant })
        const need = { needMemoryBytes: 1000 * size, needCpuMillis: 100 * size, needGpus: pick([0, 2]) }
        const live = random() < 0.8 ? await findLive(db(), begun) : undefined
        if (live) return live
        const claimed = await claimOwner(db(), { ...begun, ...need }, lease)
        note('claimOwner', claimed?.created)
        return claimed?.row
      }
      const step = async (row: RuntimeRow) => {
        const possible = Object.entries(steps[row.state]).filter(([name]) => name !== 'freeReservation' || row.reserved)
        if (possible.length === 0) return
        const rarest = possible.toSorted(([a], [b]) => timesOf(a) - timesOf(b))[0]
        const [name, make] = random() < 0.6 && rarest ? rarest : pick(possible)
        note(name, await make(row))
      }

      while (!isEnough() && left-- > 0) {
        const chance = random()
        if (chance < 0.05) await replaceHost()
        else {
          const row = chance < 0.8 || snapshots.length === 0 ? await look() : pick(snapshots.slice(-20))
          if (!row) continue
          snapshots.push(row)
          await step(row)
          // Once more by what it saw, which it has changed itself.
          if (chance < 0.4) await step(row)
        }
      }
    }

    const over = new AbortController()
    const watch = async () => {
      let looks = 0
      while (!over.signal.aborted) {
        assert.deepEqual(await faults(), [])
        looks++
      }
      return looks
    }
    const watching = watch()
    const working = Promise.all(Array.from({ length: workers }, (_, n) => work(n)))
    // What the watcher has found ends the test, not only the work.
    const looks = await Promise.all([working.finally(() => over.abort()), watching]).then(([, times]) => times)

    assert.deepEqual(await faults(), [])
    t.diagnostic(`looked ${looks} times; done ${JSON.stringify(Object.fromEntries(done))}`)
    t.diagnostic(`refused ${JSON.stringify(Object.fromEntries(refused))}`)
    assert(isEnough(), `only ${JSON.stringify(Object.fromEntries(done))} in ${tries} tries`)

    for (const tenant of tenants)
      for (const row of await listRuntimes(db(), tenant, {}, { limit: 100 })) {
        const deleting = row.state === 'deleting' ? row : await toDeleting(db(), row, false, lease)
        assert(deleting && (await toDeleted(db(), deleting)))
      }
    const [rest] = await db().execute(sql`select
      (select sum(reserved_slots + reserved_memory_bytes + reserved_cpu_millis + reserved_gpus) from hosts)
      + (select sum(used_runtimes + used_memory_bytes + used_cpu_millis) from tenants) as held`)
    assert.equal(Number(rest?.held), 0)
  })
})
