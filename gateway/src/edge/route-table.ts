import {
  type Db,
  findByHash,
  findHost,
  type HostView,
  listHostsById,
  listRuntimeStates,
  type RuntimeRow,
  touchAll,
} from '@porthole/db'
import type { Logger } from 'pino'
import type { Changes } from '../runtimes/changes.ts'
import { isTurning } from '../runtimes/driver.ts'
import { within } from '../within.ts'
import { createForgotten, type Reading } from './forgotten.ts'
import { createTurns } from './turns.ts'

/**
 * Where running runtimes are, in memory: known routes cost no query, and keep opening while the database is away. Kept
 * true by NOTIFY, with a look a second behind it; the agent checks the generation, so a route that is old all the same
 * leads nowhere.
 */
export type RouteTable = {
  /** What `runtime` would answer, where that is known; undefined: it has to be asked. */
  knownRuntime(tenant: string, ownerHash: string): RuntimeRow | undefined
  /** The same of `host`. */
  knownHost(id: string): HostView | undefined
  /** The tenant's newest runtime with that hash. */
  runtime(tenant: string, ownerHash: string): Promise<RuntimeRow | undefined>
  /** A host that has not been removed, as it was at most a second ago. */
  host(id: string): Promise<HostView | undefined>
  /** Forgets what is known of a runtime: it has been moved. */
  forget(runtimeId: string): void
  /** Forgets what is known of a host: it has joined anew, or was removed. Other gateways see it at their next look. */
  forgetHost(id: string): void
  /** Counts as use. Written once a second. */
  touch(runtimeId: string): void
  /** Whether the last look at the database failed. */
  isAway(): boolean
  close(): Promise<void>
}

const lookMs = 1000
/** Milliseconds a look may take until the database counts as away. */
const lookDeadlineMs = 2000
/** Milliseconds after which a look, or a write, that has not ended is given up. */
const stuckMs = 5000
/** Milliseconds for which what was known last is good while the database is away (DESIGN section 8, issue of outages). */
const graceMs = 60_000
/** Milliseconds after the database was away for which silence says nothing of a host: it could not report, and does by then. */
const reportMs = 10_000
/** Runtimes, and hosts, remembered; the oldest goes first. */
const maxKnown = 50_000
const maxTouched = 50_000

/** Looks for runtimes that one tenant may have under way, and in line: there is one database for all, and anybody may ask. */
const looksAtOnce = 8
const looksWaiting = 500

const keyOf = (tenant: string, ownerHash: string) => `${tenant}\u001f${ownerHash}`

const isKeepable = (row: RuntimeRow) => row.state === 'running' && !isTurning(row)

/**
 * @param now milliseconds of any clock that only moves forward
 */
export const createRouteTable = ({
  db,
  lookout,
  changes,
  log,
  now = () => performance.now(),
}: {
  db: Db
  /** What the looks use. */
  lookout: Db
  changes: Pick<Changes, 'onMove'>
  log: Logger
  now?: () => number
}): RouteTable => {
  const byKey = new Map<string, RuntimeRow>()
  const keys = new Map<string, string>()
  const hosts = new Map<string, HostView>()
  const forgotten = createForgotten()
  /** Looks for runtimes under way: a crowd asks once. */
  const asking = new Map<string, { reading: Reading; row: Promise<RuntimeRow | undefined> }>()
  const takeTurn = createTurns({ atOnce: looksAtOnce, waiting: looksWaiting })
  let goodAt = now()
  let away = false
  let trustedUntil = Number.NEGATIVE_INFINITY
  let touched = new Set<string>()

  const forget = (id: string) => {
    forgotten.note(id)
    const key = keys.get(id)
    if (key === undefined) return
    keys.delete(id)
    if (byKey.get(key)?.id === id) byKey.delete(key)
  }
  const keep = (key: string, row: RuntimeRow) => {
    const oldest = byKey.size >= maxKnown ? byKey.values().next().value : undefined
    if (oldest) forget(oldest.id)
    byKey.set(key, row)
    keys.set(row.id, key)
  }
  changes.onMove(forget)

  /** Hosts that were live before the database went away are, until they have had time to say so. */
  const remember = (host: HostView): HostView => {
    const isTrusted = !host.live && (away || now() < trustedUntil) && hosts.get(host.id)?.live
    const kept = isTrusted ? { ...host, live: true, lost: false } : host
    if (hosts.size < maxKnown || hosts.has(host.id)) hosts.set(host.id, kept)
    return kept
  }

  /** Only reads: what is locked or slow to write says nothing of whether the database is there. */
  const look = async () => {
    const ids = [...keys.keys()]
    const states = new Map((await listRuntimeStates(lookout, ids)).map(row => [row.id, row]))
    for (const id of ids) {
      const known = byKey.get(keys.get(id) ?? '')
      const { state, generation } = states.get(id) ?? {}
      if (known && (state !== known.state || generation !== known.generation)) forget(id)
    }
    const hostIds = [...hosts.keys()]
    const found = new Map((await listHostsById(lookout, hostIds)).map(host => [host.id, host]))
    for (const id of hostIds) {
      const host = found.get(id)
      if (host) remember(host)
      else hosts.delete(id)
    }
  }

  const writeTouched = async () => {
    if (touched.size === 0) return
    const used = touched
    touched = new Set()
    try {
      await within(stuckMs, touchAll(lookout, [...used]))
    } catch (error) {
      log.debug({ err: error }, 'use could not be written, will be tried again')
      touched = new Set([...used, ...touched].slice(0, maxTouched))
    }
  }

  /** A look that takes too long goes on; the next one waits for it. */
  let underWay: Promise<void> | undefined
  const lookAgain = () => {
    if (underWay) return underWay
    const mine = look()
    const forget = () => {
      if (underWay === mine) underWay = undefined
      clearTimeout(timer)
    }
    // A query on a connection that died may never end: it is not waited for longer than that.
    const timer = setTimeout(forget, stuckMs)
    underWay = mine
    mine.then(forget, forget)
    return mine
  }

  let looking: Promise<void> | undefined
  let writing: Promise<void> | undefined
  const lookOnce = async () => {
    try {
      await within(lookDeadlineMs, lookAgain())
      goodAt = now()
      if (away) {
        log.info('database answers again')
        trustedUntil = now() + reportMs
      }
      away = false
    } catch (error) {
      if (!away) log.error({ err: error }, 'database does not answer: known routes stay open for a minute')
      away = true
    }
  }
  const timer = setInterval(() => {
    looking ??= lookOnce().finally(() => {
      looking = undefined
    })
    writing ??= writeTouched().finally(() => {
      writing = undefined
    })
  }, lookMs)

  const isGood = () => now() - goodAt < graceMs
  /** Before the next look has found that the database is away, too, nobody waits for it without end. */
  const ask = <T>(query: Promise<T>) => within(away ? lookDeadlineMs : stuckMs, query)

  return {
    knownRuntime: (tenant, ownerHash) => (isGood() ? byKey.get(keyOf(tenant, ownerHash)) : undefined),
    knownHost: id => (isGood() ? hosts.get(id) : undefined),
    runtime: async (tenant, ownerHash) => {
      const key = keyOf(tenant, ownerHash)
      const known = byKey.get(key)
      if (known && isGood()) return known
      const underWay = asking.get(key)
      if (underWay?.reading.isFresh()) return underWay.row
      const reading = forgotten.begin()
      const mine = { reading, row: ask(takeTurn(tenant, () => findByHash(db, tenant, ownerHash))) }
      asking.set(key, mine)
      try {
        const row = await mine.row
        if (row && isKeepable(row) && reading.mayKeep(row.id)) keep(key, row)
        return row
      } finally {
        if (asking.get(key) === mine) asking.delete(key)
      }
    },
    host: async id => {
      const known = hosts.get(id)
      if (known && isGood()) return known
      const host = await ask(findHost(db, id))
      return host && remember(host)
    },
    forget,
    forgetHost: id => void hosts.delete(id),
    touch: id => {
      if (touched.size < maxTouched) touched.add(id)
    },
    isAway: () => away,
    close: async () => {
      clearInterval(timer)
      await looking
      await writing
      if (!away) await writeTouched()
    },
  }
}
