import {
  countWarm,
  createOn,
  type Db,
  ensureWarmTenant,
  holdWarming,
  listSpareWarm,
  listWarmInTheWay,
  type RuntimeRow,
  recentCreates,
  stillWarm,
  takeHostsToWarm,
  toDeleting,
  warmTenant,
} from '@porthole/db'
import type { Logger } from 'pino'
import { ulid } from 'ulid'
import { ownerHashOf } from '../identity/owner.ts'
import type { Changes } from './changes.ts'
import type { Driver } from './driver.ts'
import { type Demand, leastDiskBytes } from './score.ts'
import type { Spec, Specs } from './specs.ts'
import { warmKindOf } from './warm-kind.ts'

/** Runtimes that are started before anybody asks for them. Any number of gateways look after them at once. */
export type WarmPool = {
  /**
   * Ends warm runtimes that are in somebody's way, and waits until they are gone.
   *
   * @param on the host that it has to be (undefined: any), and those that it may not be
   * @returns whether there may be room now
   */
  makeRoom(demand: Demand, on?: { hostId?: string | undefined; excluded?: readonly string[] }): Promise<boolean>
  stop(): Promise<void>
}

const everyMs = 1000
/** Milliseconds between two warm starts on a host: real ones come between. */
const betweenMs = 1500
/** Milliseconds without another try on a host where one has failed. */
const afterFailureMs = 60_000
/** Hosts that are filled by one look of one gateway. */
const hostsAtOnce = 8
/** Warm runtimes that are ended by one look. */
const sparesAtOnce = 20
/** Seconds after which one is replaced: browsers that wait for ever grow, and their pages' caches age. */
const maxAgeSeconds = 3600
/** Milliseconds that somebody waits for the room that a warm one leaves: less than a place in line lasts. */
const roomMs = 2500
/** Looks from one search for those that are to go to the next. */
const looksBetweenSpares = 5

/** Seconds back that `auto` looks, and in which it takes requests to have come at once. */
const demandSeconds = 900
const burstSeconds = 10
const demandLimit = 2000
const demandEveryMs = 10_000
/** Most that `auto` keeps. */
const autoMost = { perHost: 4, inAll: 64 }

/** How many new owners have come at once lately: the most within any ten seconds. */
export const peakOf = (times: readonly Date[]): number => {
  const buckets = new Map<number, number>()
  for (const time of times) {
    const bucket = Math.floor(time.getTime() / (1000 * burstSeconds))
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1)
  }
  return Math.max(0, ...buckets.values())
}

type Parts = {
  db: Db
  driver: Pick<Driver, 'take'>
  changes: Pick<Changes, 'until'>
  specs: Pick<Specs, 'warm'>
  log: Logger
  leaseMs: number
}

type Size = { perHost: number; inAll: number }

export const keepWarm = ({ db, driver, changes, specs, log, leaseMs }: Parts): WarmPool => {
  const demand = new Map<string, { peak: number; readAt: number }>()

  const peakFor = async (spec: string): Promise<number> => {
    const known = demand.get(spec)
    if (known && performance.now() - known.readAt < demandEveryMs) return known.peak
    const times = await recentCreates(db, spec, {
      seconds: demandSeconds,
      warmSeconds: maxAgeSeconds,
      limit: demandLimit,
    })
    const peak = peakOf(times)
    demand.set(spec, { peak, readAt: performance.now() })
    return peak
  }

  const sizeOf = async ({ warm, recipe }: Spec): Promise<Size> => {
    if (warm !== 'auto') return { perHost: warm, inAll: Number.POSITIVE_INFINITY }
    const inAll = Math.min(autoMost.inAll, await peakFor(recipe.name))
    return { perHost: Math.min(inAll, autoMost.perHost), inAll }
  }

  /** Starts one on a host whose turn it is. */
  const warmUp = async (spec: Spec, hostId: string) => {
    const { need, fingerprint } = warmKindOf(spec)
    const owner = ulid()
    const mode = 'docker-per-task'
    const { memoryBytes, cpus } = spec.recipe
    const claimed = await createOn(
      db,
      {
        ...{ tenant: warmTenant, mode, owner, ownerHash: ownerHashOf(warmTenant, mode, owner), spec: spec.recipe.name },
        ...{ needMemoryBytes: need.memoryBytes, needCpuMillis: need.cpuMillis, needGpus: need.gpus },
        ...{ labels: { fingerprint }, start: { memoryBytes, cpus } },
      },
      hostId,
      leaseMs,
    )
    if (claimed?.row.state === 'starting') driver.take(claimed.row)
    // Somebody was faster: what is warm stands in no line.
    else if (claimed?.created) await end(claimed.row)
  }

  const end = async (row: RuntimeRow): Promise<RuntimeRow | undefined> => {
    const deleting = await toDeleting(db, row, true, leaseMs, { reason: 'warm no longer', provided: stillWarm })
    if (deleting) driver.take(deleting)
    return deleting
  }

  let looks = 0
  const look = async () => {
    const warm = await Promise.all(specs.warm().map(async spec => ({ spec, size: await sizeOf(spec) })))
    if (warm.length > 0) await ensureWarmTenant(db)
    for (const { spec, size } of warm) {
      const kind = warmKindOf(spec)
      const room = size.perHost > 0 ? size.inAll - (await countWarm(db, kind)) : 0
      if (room <= 0) continue
      const limit = Math.min(hostsAtOnce, room)
      const hosts = await takeHostsToWarm(db, kind, { perHost: size.perHost, limit, holdMs: betweenMs, leastDiskBytes })
      await Promise.all(hosts.map(host => warmUp(spec, host)))
    }
    looks += 1
    if (looks % looksBetweenSpares !== 1) return
    const kinds = warm.map(({ spec, size: { perHost, inAll } }) => ({
      ...{ ...warmKindOf(spec), perHost },
      inAll: Number.isFinite(inAll) ? inAll : undefined,
    }))
    const spares = await listSpareWarm(db, kinds, { maxAgeSeconds, limit: sparesAtOnce })
    for (const spare of spares) {
      if (spare.state === 'failed' && spare.hostId) {
        log.warn({ runtime: spare.id, host: spare.hostId, why: spare.error }, 'warm runtime has failed')
        await holdWarming(db, spare.hostId, afterFailureMs)
      }
      await end(spare)
    }
  }

  let isStopped = false
  let healthy = true
  let looking: Promise<void> | undefined
  const timer = setInterval(() => {
    looking ??= look()
      .then(
        () => {
          healthy = true
        },
        error => {
          if (healthy) log.error({ err: error }, 'warm runtimes could not be looked after')
          healthy = false
        },
      )
      .finally(() => {
        looking = undefined
      })
  }, everyMs)

  return {
    makeRoom: async (demand, { hostId, excluded = [] } = {}) => {
      if (isStopped || specs.warm().length === 0) return false
      const on = { hostId, excluded, labels: demand.require, leastDiskBytes }
      const inTheWay = await listWarmInTheWay(db, demand, on)
      await Promise.all(inTheWay.map(row => row.state === 'deleting' || end(row)))
      // Also of those that somebody else was faster to end, or to take for an owner.
      const isOut = (now: RuntimeRow) => now.state === 'deleted' || now.tenant !== warmTenant
      await Promise.all(inTheWay.map(({ id }) => changes.until(id, isOut, roomMs)))
      return inTheWay.length > 0
    },
    stop: async () => {
      isStopped = true
      clearInterval(timer)
      await looking
    },
  }
}
