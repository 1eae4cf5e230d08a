import {
  type Database,
  findTenant,
  type LineFor,
  leaveLine,
  listOldestRunning,
  overQuota,
  type RuntimeRow,
  roomChannel,
  standInLine,
  toPaused,
} from '@porthole/db'
import { Problem } from '../problem.ts'
import { type Bell, createBell } from './bell.ts'
import { NoRoom } from './placement.ts'

/**
 * What becomes of a runtime for which there is no room: none in its tenant's quota (`reject`, `queue`, `pause-oldest`),
 * or none on any host.
 */
export type Room = {
  /**
   * Tries until there is room. In the quota, as the tenant's policy says: not again; in line for as long as there is
   * time; or having paused the runtime that was used longest ago. On the hosts: in line, where one could take it once
   * others have left. A tenant's line is first in, first out; the heads of the lines of several tenants try alike.
   *
   * @param attempt asked with the row as it is by then
   * @param msLeft milliseconds that this runtime still waits
   * @param options.handsOver whether another gateway goes on when `signal` is aborted: then the place in line is kept
   * @returns what the attempt gave; undefined when the runtime was moved by somebody else, or `signal` was aborted
   * @throws Problem `quota-exceeded`, NoRoom, and what the attempt throws
   */
  within<T>(
    row: RuntimeRow,
    attempt: (row: RuntimeRow) => Promise<T | 'over-quota'>,
    msLeft: () => Promise<number>,
    signal: AbortSignal,
    options?: { handsOver?: boolean },
  ): Promise<T | undefined>
  close(): Promise<void>
}

type Parts = {
  database: Pick<Database, 'db' | 'listen'>
  leaseMs: number
  /** Has the host carry a pause out. */
  carryOut(paused: RuntimeRow): void
  /** Has the last use of a running runtime written down, as its host sees it, in `ms` if at all. Absent: as its row says. */
  withLastUse?(row: RuntimeRow, ms: number): Promise<unknown>
}

/** A look a second makes up for hints that were lost, and keeps the place in line. */
const pollMs = 1000
/** Runtimes whose hosts are asked for their last use at a time, and at most, before one is paused; and milliseconds for all. */
const askedAtOnce = 5
const maxAsked = 20
const askMs = 2000
/** Times that room is tried for anew, should others take it each time. */
const maxRounds = 5

const refusal = (why: string) =>
  new Problem('quota-exceeded', {
    detail: `${why}: stop, pause or delete a runtime, or ask the operator for a larger quota`,
    retryAfterSeconds: 5,
  })

export const openRoom = async ({
  database: { db, listen },
  leaseMs,
  carryOut,
  withLastUse = async () => {},
}: Parts): Promise<Room> => {
  const bell: Bell = createBell()
  const { unlisten } = await listen(
    roomChannel,
    slug => (slug === '*' ? bell.ringAll() : bell.ring(slug)),
    bell.ringAll,
  )

  /** Runtimes in line, and how many wait here for each: the place is given up by the last of them. */
  const keepers = new Map<string, number>()
  const count = (id: string, by: 1 | -1): number => {
    const left = (keepers.get(id) ?? 0) + by
    if (left > 0) keepers.set(id, left)
    else keepers.delete(id)
    return left
  }

  /** Why there is no room, and whether a pause would make some. */
  const lookAt = async (row: RuntimeRow) => {
    const tenant = await findTenant(db, row.tenant)
    if (!tenant || tenant.suspendedAt) throw new Problem('tenant-suspended')
    // A paused runtime holds its memory and CPU already.
    const need = row.reserved ? { memoryBytes: 0, cpuMillis: 0 } : needOf(row)
    const over = overQuota(tenant, need)
    const why = over.map(one => one.why).join('; ')
    return {
      policy: tenant.atCap,
      why: why || 'others are before it',
      isFull: over.length > 0,
      // Not where more run already than may, as after the limit was lowered.
      wouldPauseHelp:
        over.every(({ what }) => what === 'runtimes') &&
        tenant.usedRuntimes <= (tenant.maxRuntimes ?? Number.POSITIVE_INFINITY) &&
        tenant.maxRuntimes !== 0,
    }
  }

  const pauseOldest = async (row: RuntimeRow): Promise<boolean> => {
    const askUntil = performance.now() + askMs
    const asked = new Set<string>()
    let [oldest, ...next] = await listOldestRunning(db, row, askedAtOnce)
    // Somebody may be at work in it, of whom only its host knows: then it is not the one.
    while (oldest && !asked.has(oldest.id) && asked.size < maxAsked) {
      const left = askUntil - performance.now()
      if (left <= 0) break
      const unasked = [oldest, ...next].filter(({ id }) => !asked.has(id))
      for (const { id } of unasked) asked.add(id)
      // Those that may be next are asked along with it: whoever wants room waits once, however many are silent.
      await Promise.all(unasked.map(one => withLastUse(one, left)))
      ;[oldest, ...next] = await listOldestRunning(db, row, askedAtOnce)
    }
    if (!oldest) return false
    const paused = await toPaused(db, oldest, leaseMs, 'made room for another runtime')
    if (paused) carryOut(paused)
    // Moved by somebody else meanwhile: there may be room by now.
    return true
  }

  /** @returns the row with its place, having waited for a hint or a second; undefined when it was moved */
  const waitInLine = async (
    row: RuntimeRow,
    lineFor: LineFor,
    refused: (more: string) => Problem,
    msLeft: () => Promise<number>,
    signal: AbortSignal,
  ) => {
    const left = await msLeft()
    if (left <= 0) throw refused(row.lineSince === null ? '' : ', and it has waited in line as long as it was to')
    // Listening starts before the place is taken, so that room that comes in between is heard of.
    const { heard, leave } = bell.listen(row.tenant, Math.min(pollMs, left), signal)
    try {
      const placed = await standInLine(db, row, lineFor)
      if (placed === 'full') throw refused(', and the line is as long as it may be')
      if (placed) await heard
      return placed
    } finally {
      leave()
    }
  }

  return {
    within: async (row, attempt, msLeft, signal, { handsOver = false } = {}) => {
      let current = row
      let rounds = 0
      count(row.id, 1)
      try {
        while (!signal.aborted) {
          const result = await orNoRoom(attempt(current))
          if (result instanceof NoRoom) {
            if (!result.mayWait) throw result
            const placed = await waitInLine(current, 'hosts', result.andThen, msLeft, signal)
            if (!placed) return undefined
            current = placed
            continue
          }
          if (result !== 'over-quota') return result
          const { policy, why, isFull, wouldPauseHelp } = await lookAt(current)
          // Those who wait for quota come first, even where the policy has changed since.
          if (policy === 'queue') {
            const placed = await waitInLine(current, 'quota', more => refusal(why + more), msLeft, signal)
            if (!placed) return undefined
            current = placed
            continue
          }
          // Room that has come since is tried for again, and so is room that others take each time: so often.
          const mayTryAgain = !isFull || (policy === 'pause-oldest' && wouldPauseHelp && (await pauseOldest(current)))
          if (!mayTryAgain || ++rounds > maxRounds) throw refusal(why)
        }
        return undefined
      } finally {
        // Whoever is behind in line looks now. What another gateway goes on with keeps its place.
        const isLast = count(row.id, -1) === 0
        if (isLast && current.lineSince !== null && !(handsOver && signal.aborted)) await leaveLine(db, current)
      }
    },
    close: unlisten,
  }
}

/** No room on the hosts is an outcome here, not yet a failure. */
const orNoRoom = async <T>(attempt: Promise<T>): Promise<T | NoRoom> => {
  try {
    return await attempt
  } catch (error) {
    if (error instanceof NoRoom) return error
    throw error
  }
}

const needOf = ({ needMemoryBytes, needCpuMillis }: RuntimeRow) => ({
  memoryBytes: needMemoryBytes,
  cpuMillis: needCpuMillis,
})
