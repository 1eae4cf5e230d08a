import { setTimeout as delay } from 'node:timers/promises'
import { type Db, type HostFigures, type HostTraits, readFigures, readTraits, type Started } from '@porthole/db'
import type { Candidate } from './score.ts'

/** The fleet at one reading, and what this gateway has reserved since. */
export type Fleet = {
  hosts: readonly Candidate[]
  /** Hosts that have refused what the figures would let in: not asked again before the next reading. */
  refused: ReadonlySet<string>
}

/**
 * The hosts in memory, so that choosing one asks nobody. It may be a little old: the reservation is what counts, and
 * whoever finds no host here looks afresh before saying so. Nothing is read while nobody asks.
 */
export type Snapshot = {
  /**
   * The fleet as it was a moment ago; read anew when it is older than a second, or two and a half where readings take long. That is
   * waited for where it is quick, or the fleet in memory much older.
   */
  recent(): Promise<Fleet>
  /** The fleet in memory; undefined where `recent` would read it anew, or wait. Asks nobody. */
  known(): Fleet | undefined
  /** The fleet by a reading that began after this call. Those who ask at once share it. */
  fresh(): Promise<Fleet>
  /** A host has taken a runtime: what is reserved there now. */
  took(hostId: string, reserved: NonNullable<Started['reserved']>): void
  /** A host has refused one. */
  refuse(hostId: string): void
}

const freshMs = 1000
/** A large fleet takes long to read, and few of its hosts change in a moment: it is read for a twentieth of the time at most. */
const readFactor = 20
const longestFreshMs = 2500
/** After that a reading is waited for: hosts that have gone since would be tried in vain. */
const staleMs = 5000
/** A reading is waited for so long, where the last one was as quick: by old figures, few hosts would fill unevenly. */
const quickMs = 20
/** A reading takes the database's time: the next one is this many times as long away. */
const restFactor = 4
/** Traits read in one statement. */
const pageSize = 1000

type Known = Candidate & { traitsDigest: number }

/** @param read tests give hosts of their own */
export const createSnapshot = (
  read: { figures(): Promise<HostFigures[]>; traits(ids: readonly string[]): Promise<HostTraits[]> },
  now: () => number = () => performance.now(),
): Snapshot => {
  let known = new Map<string, Known>()
  let fleet: { hosts: readonly Candidate[]; refused: Set<string> } = { hosts: [], refused: new Set() }
  let readAt = Number.NEGATIVE_INFINITY
  let tookMs = 0
  let underWay: Promise<void> | undefined
  let next: Promise<void> | undefined

  const readAll = async (): Promise<void> => {
    const startedAt = now()
    const figures = await read.figures()
    const changed = figures.filter(({ id, traitsDigest }) => known.get(id)?.traitsDigest !== traitsDigest)
    const traits = new Map<string, HostTraits>()
    for (let from = 0; from < changed.length; from += pageSize)
      for (const host of await read.traits(changed.slice(from, from + pageSize).map(({ id }) => id)))
        traits.set(host.id, host)
    const hosts = new Map<string, Known>()
    for (const host of figures) {
      const it = traits.get(host.id) ?? known.get(host.id)
      // Removed between the two: it is no host any more.
      if (!it) continue
      const { name, labels, images } = it
      hosts.set(host.id, Object.assign(host, { name, labels, images, lastSeenAt: host.hasReported || null }))
    }
    known = hosts
    fleet = { hosts: [...hosts.values()], refused: new Set() }
    readAt = startedAt
    tookMs = now() - startedAt
  }

  const reading = (): Promise<void> => {
    underWay ??= readAll().finally(() => {
      underWay = undefined
    })
    return underWay
  }
  const ignore = () => {}
  const isFresh = () => now() - readAt < Math.min(longestFreshMs, Math.max(freshMs, tookMs * readFactor))
  const isQuick = () => tookMs <= quickMs

  const readAfterThis = async (): Promise<void> => {
    await underWay?.catch(ignore)
    const rest = readAt + tookMs * (1 + restFactor) - now()
    if (rest > 0) await delay(rest)
    while (underWay) await underWay.catch(ignore)
    // Whoever asks from here on comes after this reading has begun.
    next = undefined
    await reading()
  }

  return {
    recent: async () => {
      const age = now() - readAt
      if (age >= staleMs) await reading()
      // Failing, it is tried again by the next who asks, and told to those who cannot do without it.
      else if (!isFresh()) {
        const read = reading().catch(ignore)
        if (isQuick()) await Promise.race([read, delay(quickMs)])
      }
      return fleet
    },
    known: () => {
      const isBeingRead = underWay !== undefined && !isQuick() && now() - readAt < staleMs
      return isFresh() || isBeingRead ? fleet : undefined
    },
    fresh: async () => {
      next ??= readAfterThis()
      await next
      return fleet
    },
    took: (hostId, reserved) => {
      const host = known.get(hostId)
      if (host) Object.assign(host, reserved)
    },
    refuse: hostId => void fleet.refused.add(hostId),
  }
}

export const snapshotOf = (db: Db): Snapshot =>
  createSnapshot({ figures: () => readFigures(db), traits: ids => readTraits(db, ids) })
