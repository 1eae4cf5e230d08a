import { setTimeout as delay } from 'node:timers/promises'
import { type Db, hosts, type RuntimeRow, runtimes, tenants } from '@porthole/db'
import type { Lab } from '../lab/kit.ts'
import { books } from './checks/books.ts'
import { liveTwice } from './checks/containers.ts'
import type { Evidence, SeenContainer } from './evidence.ts'
import { listContainers } from './gather.ts'
import { mayHold } from './harmless.ts'
import type { History, Sampled } from './history.ts'
import type { Violation } from './violation.ts'

const everyMs = 1000
const lookMs = 5000
/** Milliseconds after a host is whole again within which it removes what has been started elsewhere. */
const removedWithinMs = 60_000

export type SampledContainer = Pick<SeenContainer, 'name' | 'runtime' | 'generation'> & { host: string }

/**
 * Two containers of one runtime. An older one may be left on a host that could not be told; two of one generation are
 * wrong at any time.
 *
 * @param isHeld whether a host may have been kept from removing what it has
 */
export const doubles = (containers: readonly SampledContainer[], isHeld: (host: string) => boolean): Violation[] =>
  [...Map.groupBy(containers, ({ runtime }) => runtime)].flatMap(([runtime, same]) => {
    const newest = Math.max(...same.map(({ generation }) => generation))
    const older = same.filter(({ generation }) => generation < newest)
    const isWrong = same.length - older.length > 1 || older.some(({ host }) => !isHeld(host))
    const where = same.map(({ host, generation }) => `${host} (g${generation})`).join(' and ')
    return isWrong
      ? [{ invariant: '1, one runtime an owner', what: `${runtime} has containers on ${where} at once` }]
      : []
  })

/** What must hold at any moment, of rows that were read at one. */
export const atOnce = (rows: Pick<Evidence, 'hosts' | 'tenants' | 'runtimes'>): Violation[] => [
  ...books(rows),
  ...liveTwice(rows.runtimes),
]

export type Sampling = { lab: Pick<Lab, 'hosts' | 'names'>; db: Db; history: History; now(): number }

/** Looks every second until it is told to stop, and notes what is wrong, each thing once. Who is away is not looked at. */
export const sampleUntil = async (signal: AbortSignal, { lab, db, history, now }: Sampling): Promise<void> => {
  const sampled: Sampled = { times: 0, waiting: 0, wrong: [] }
  history.sampled = sampled
  const isHeld = (host: string) =>
    history.strikes.some(
      struck => mayHold(struck, host) && struck.mendedAt + struck.recoveryMs + removedWithinMs > now(),
    )
  const known = new Set<string>()
  const note = (found: Violation[]) => {
    for (const { invariant, what } of found.filter(({ what }) => !known.has(what))) {
      known.add(what)
      sampled.wrong.push({ invariant, what: `${what}, ${(now() / 1000).toFixed(1)} s after the beginning`, past: true })
    }
  }
  while (!signal.aborted) {
    const [rows, containers] = await Promise.all([readRows(db).catch(() => undefined), running(lab)])
    note(doubles(containers, isHeld))
    if (rows) {
      sampled.times += 1
      if (rows.runtimes.some(isWaiting)) sampled.waiting += 1
      note(atOnce(rows))
    }
    await delay(everyMs, undefined, { signal }).catch(() => {})
  }
}

const isWaiting = ({ lineSince }: RuntimeRow) => lineSince !== null

/** All at one moment: sums are changed together with their rows. */
const readRows = (db: Db): Promise<Pick<Evidence, 'hosts' | 'tenants' | 'runtimes'>> =>
  db.transaction(async tx => {
    await tx.execute('set transaction isolation level repeatable read, read only')
    return {
      hosts: await tx.select().from(hosts),
      tenants: await tx.select().from(tenants),
      runtimes: await tx.select().from(runtimes),
    }
  })

const running = async ({ hosts, names }: Sampling['lab']): Promise<SampledContainer[]> => {
  const lists = await Promise.all(
    hosts.map(async ({ id, docker }) => {
      const found = await listContainers(docker, names, AbortSignal.timeout(lookMs)).catch(() => [])
      return found
        .filter(({ state, runtime }) => runtime !== '' && (state === 'running' || state === 'paused'))
        .map(container => ({ host: id, ...container }))
    }),
  )
  return lists.flat()
}
