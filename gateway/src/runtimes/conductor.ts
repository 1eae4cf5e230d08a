import {
  type Allowance,
  alsoRemoveVolume,
  askAnew,
  CreatesExceeded,
  type Db,
  dueRemovals,
  findLive,
  findProfile,
  findRuntimeById,
  findTenant,
  forgetProfile,
  forgetProfileAway,
  hasNeverRun,
  type IdlePolicy,
  type NewRuntime,
  OwnerHashTaken,
  type RuntimeRow,
  setIdle,
  toDeleting,
  toFailedStillHeld,
  toPaused,
  toPending,
  toResumed,
  toStopping,
  touch,
  waitForRoom,
} from '@porthole/db'
import { type AgentAddress, AgentRefused, type Agents, AgentUnreachable } from '../agents/client.ts'
import { Problem, type ProblemCode, problems } from '../problem.ts'
import type { Changes } from './changes.ts'
import { type Driver, isTurning, leaseMs } from './driver.ts'
import { NoRoom, type Placement } from './placement.ts'
import type { Room } from './room.ts'

/** The verbs of a runtime. All are idempotent; all answer within `ms` with the row as it is by then. */
export type Conductor = {
  /** The owner's runtime, ready: the one there is, or a new one; `freshProfile` where its profile's host is away; `idle`: of one there is, the rules by its spec. @throws Problem when it fails to start. */
  ensure(
    wanted: NewRuntime,
    ms: number,
    options?: { freshProfile?: boolean; idle?: ((spec: string) => IdlePolicy) | undefined },
  ): Promise<{ row: RuntimeRow; created: boolean; allowance?: Allowance | undefined }>
  /** Starts a stopped, failed or lost runtime again; waits for one on its way. @throws Problem when that fails. */
  start(row: RuntimeRow, ms: number, signal?: AbortSignal): Promise<RuntimeRow>
  /** Freezes a running runtime: its memory is kept, it takes no CPU and does not count as running. @throws Problem */
  pause(row: RuntimeRow, ms: number): Promise<RuntimeRow>
  /** Lets a paused runtime go on. @throws Problem `quota-exceeded`, `wrong-state` for one that is not paused */
  resume(row: RuntimeRow, ms: number): Promise<RuntimeRow>
  /** Removes the container and keeps the profile. */
  stop(row: RuntimeRow, ms: number): Promise<RuntimeRow>
  /** Removes the container, and the profile when asked. */
  remove(row: RuntimeRow, removeVolume: boolean, ms: number): Promise<RuntimeRow>
}

type Parts = {
  db: Db
  agents: Agents
  changes: Changes
  driver: Driver
  placement: Pick<Placement, 'claim' | 'place'>
  room: Pick<Room, 'within'>
  /** The address of a host, by id. */
  hostOf(id: string): Promise<AgentAddress | undefined>
}

/** Health checks of a running runtime that is asked for again, before it counts as dead. */
const probes = 3
const probeGapMs = 300
/** Rounds of ensure, should the owner's runtime be deleted under it again and again. */
const maxRounds = 20

/** `RateLimit-*` (draft-ietf-httpapi-ratelimit-headers-03): creates in this minute. */
export const allowanceHeaders = ({ limit, remaining, resetSeconds }: Allowance): Record<string, string> => ({
  'ratelimit-limit': String(limit),
  'ratelimit-remaining': String(remaining),
  'ratelimit-reset': String(resetSeconds),
})

/** Milliseconds after which whoever waits in line for a paused runtime uses it again: less than any rule leaves. */
const inLineMs = 3000

/** Milliseconds that the end of a wait in line may take to be written. */
const endOfLineMs = 2500

const isOnItsWay = (row: RuntimeRow) => row.state === 'pending' || row.state === 'starting'

const isEnding = ({ state }: RuntimeRow) => state === 'deleting' || state === 'deleted'

const isToBePlaced = ({ state }: RuntimeRow) => ['pending', 'stopped', 'failed', 'lost'].includes(state)

const isProblemCode = (code: string): code is ProblemCode => code in problems

/** Failures that pass by themselves. */
const comeAgain = ['no-capacity', 'profile-unavailable', 'host-unreachable']

/** What a failed start is to the one who waited for it. */
const failureOf = (row: RuntimeRow): Problem => {
  const { code = 'runtime-failed', detail, ...rest } = row.error ?? {}
  return new Problem(isProblemCode(code) ? code : 'runtime-failed', {
    detail,
    members: { runtimeId: row.id, ...rest },
    ...(comeAgain.includes(code) ? { retryAfterSeconds: 5 } : {}),
  })
}

export const createConductor = ({ db, agents, changes, driver, placement, room, hostOf }: Parts): Conductor => {
  /** Waits for the outcome of the start under way. Who does not want to wait is told no outcome, good or bad. */
  const outcome = async (row: RuntimeRow, ms: number, signal?: AbortSignal): Promise<RuntimeRow> => {
    if (ms <= 0) return row
    const settled = await changes.until(row.id, now => !isOnItsWay(now), ms, signal)
    if (settled?.state === 'failed') throw failureOf(settled)
    if (!settled && !signal?.aborted) return endOfLine(row)
    return settled ?? (await findRuntimeById(db, row.id)) ?? row
  }

  /** Who has waited in line is told how that ended, not that it is under way: its place ends with its wait. */
  const endOfLine = async (row: RuntimeRow): Promise<RuntimeRow> => {
    const now = (await findRuntimeById(db, row.id)) ?? row
    if (now.state === 'failed') throw failureOf(now)
    if (now.state !== 'pending') return now
    const ended = await changes.until(row.id, next => next.state !== 'pending', endOfLineMs)
    if (ended?.state === 'failed') throw failureOf(ended)
    return ended ?? now
  }

  /** Puts it on a host and starts it, or in line for room. Undefined: somebody else moved it first. */
  const begin = async (row: RuntimeRow, ms: number, signal: AbortSignal): Promise<RuntimeRow | undefined> => {
    const startedAt = performance.now()
    const begun = await placeOrWait(row, ms, signal)
    if (begun) driver.take(begun, performance.now() - startedAt)
    return begun
  }

  const placeOrWait = async (row: RuntimeRow, ms: number, signal: AbortSignal) => {
    try {
      const placed = await placement.place(row, leaseMs)
      return placed === 'over-quota' ? await beginAtCap(row, ms, signal) : placed
    } catch (error) {
      if (error instanceof NoRoom && error.mayWait && ms > 0) return toPending(db, row, leaseMs, ms)
      throw error
    }
  }

  const beginAtCap = async (row: RuntimeRow, ms: number, signal: AbortSignal) => {
    const tenant = await findTenant(db, row.tenant)
    // Who waits in line is `pending`: whichever gateway drives it keeps its place.
    if (tenant?.atCap === 'queue' && ms > 0) return toPending(db, row, leaseMs, ms)
    return room.within(
      row,
      current => placement.place(current, leaseMs),
      async () => 0,
      signal,
    )
  }

  /** Lets a paused runtime go on. Undefined: look again. */
  const wake = async (row: RuntimeRow, msLeft: () => number, signal: AbortSignal): Promise<RuntimeRow | undefined> => {
    let usedAt = performance.now()
    // It stays paused while it is waited for, and its rules would go on to its end.
    const useAgain = async () => {
      if (performance.now() - usedAt < inLineMs) return
      usedAt = performance.now()
      await touch(db, row.id)
    }
    const resumed = await room.within(
      row,
      async current => {
        await useAgain()
        return toResumed(db, current, leaseMs)
      },
      async () => msLeft(),
      signal,
    )
    if (!resumed) return undefined
    driver.take(resumed)
    return settled(resumed, msLeft(), signal)
  }

  /** Waits until its host has frozen a runtime, or let it go on. Undefined: it was moved. */
  const settled = async (row: RuntimeRow, ms: number, signal?: AbortSignal): Promise<RuntimeRow | undefined> => {
    const now = await changes.until(row.id, now => !isTurning(now) || now.state !== row.state, ms, signal)
    if (!now)
      throw new Problem('host-unreachable', {
        detail: `its host has not ${row.state === 'paused' ? 'paused' : 'resumed'} it in time`,
        retryAfterSeconds: 5,
      })
    return now.state === row.state ? now : undefined
  }

  /** Whether a runtime that should run does. A host that cannot tell is a fault, not a "no". */
  const isAlive = async (row: RuntimeRow): Promise<boolean> => {
    const host = row.hostId === null ? undefined : await hostOf(row.hostId)
    if (!host) return false
    for (let probe = 1; ; probe++) {
      try {
        const facts = await agents.at(host).probe(row.id)
        if (!facts || facts.generation !== row.generation || facts.state === 'exited') return false
        // Frozen by somebody who had no say: it is to run.
        if (facts.state === 'paused') await agents.at(host).resume(row.id, { generation: row.generation })
        if (facts.healthy) return true
      } catch (cause) {
        if (!(cause instanceof AgentUnreachable || cause instanceof AgentRefused)) throw cause
        throw new Problem('host-unreachable', { detail: cause.message, retryAfterSeconds: 5, cause })
      }
      if (probe === probes) return false
      await new Promise(resolve => setTimeout(resolve, probeGapMs))
    }
  }

  const declareDead = (row: RuntimeRow) =>
    toFailedStillHeld(db, row, { code: 'runtime-failed', detail: 'it ran, but did not answer its health check' })

  const claim = async (wanted: NewRuntime, ms: number) => {
    try {
      return await placement.claim(wanted, leaseMs, ms)
    } catch (error) {
      if (error instanceof CreatesExceeded)
        throw new Problem('rate-limited', {
          detail: error.message,
          retryAfterSeconds: error.allowance.resetSeconds,
          headers: allowanceHeaders(error.allowance),
          cause: error,
        })
      if (error instanceof OwnerHashTaken) throw new Problem('owner-hash-taken', { cause: error })
      throw error
    }
  }

  /** One look at a runtime that somebody wants running. Undefined: look again. */
  const towardsRunning = async (
    seen: RuntimeRow,
    msLeft: () => number,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<RuntimeRow | undefined> => {
    // Before it is looked at, or waited for: for want of use nobody ends it from here on.
    const row = isEnding(seen) ? seen : await touch(db, seen.id)
    if (row?.state !== seen.state || row.generation !== seen.generation) return undefined
    switch (row.state) {
      case 'running': {
        if (isTurning(row)) return settled(row, msLeft(), signal)
        if (await isAlive(row)) return row
        await declareDead(row)
        return undefined
      }
      case 'stopped':
      case 'failed':
      case 'lost': {
        const started = await begin(row, msLeft(), signal)
        return started && outcome(started, msLeft(), signal)
      }
      case 'paused':
        return wake(row, msLeft, signal)
      case 'pending':
        await waitForRoom(db, row, msLeft())
        return outcome(row, msLeft(), signal)
      case 'starting':
        return outcome(row, msLeft(), signal)
      case 'stopping':
      case 'deleting': {
        const moved = await changes.until(row.id, now => now.state !== row.state, msLeft(), signal)
        if (moved) return undefined
        // Nobody would start it afterwards: not to be mistaken for "under way".
        throw new Problem('wrong-state', { detail: `it is ${row.state}; try again`, retryAfterSeconds: 1 })
      }
      default:
        return row
    }
  }

  /** The profile that an earlier delete has kept, once no runtime of its owner is left that uses it. */
  const removeProfile = async (row: RuntimeRow): Promise<RuntimeRow> => {
    if (row.removeVolume) return row
    const profile = await findProfile(db, row)
    const host = profile && (await hostOf(profile.hostId))
    if (!profile) return row
    const live = await findLive(db, row)
    if (live)
      throw new Problem('wrong-state', { detail: `runtime ${live.id} of the same owner uses the profile: delete that` })
    try {
      const { id, ownerHash, generation } = row
      if (host) await agents.at(host).remove(id, { generation: Math.max(1, generation), ownerHash, removeVolume: true })
    } catch (cause) {
      if (!(cause instanceof AgentUnreachable || cause instanceof AgentRefused)) throw cause
      throw new Problem('host-unreachable', { detail: cause.message, retryAfterSeconds: 5, cause })
    }
    await db.transaction(async tx => {
      const forgotten = await forgetProfile(tx, profile.id)
      if (forgotten) await dueRemovals(tx, forgotten, new Set([profile.hostId]))
    })
    return row
  }

  /** The volume that is left behind goes when its host is back. */
  const startAfresh = (wanted: NewRuntime) =>
    db.transaction(async tx => {
      const left = await forgetProfileAway(tx, wanted)
      if (left) await dueRemovals(tx, left)
    })

  const ensureOnce: Conductor['ensure'] = async (wanted, ms, { freshProfile = false, idle } = {}) => {
    const deadline = performance.now() + ms
    const msLeft = () => Math.max(0, deadline - performance.now())
    for (let round = 0; round < maxRounds; round++) {
      const claimingAt = performance.now()
      const claimed = await claim(wanted, msLeft())
      if (!claimed) continue
      const isAnew = !claimed.created && hasNeverRun(claimed.row)
      if (isAnew) await askAnew(db, claimed.row, wanted)
      // What the request names as its spec is that of a new one.
      if (idle && !claimed.created) await setIdle(db, claimed.row.id, idle((isAnew ? wanted : claimed.row).spec))
      // Who wants another one does not wait for the host that has this one.
      if (freshProfile && isToBePlaced(claimed.row)) await startAfresh(wanted)
      if (claimed.created) {
        const isPlaced = claimed.row.state === 'starting'
        driver.take(claimed.row, isPlaced ? performance.now() - claimingAt : undefined)
        return { row: await outcome(claimed.row, ms), created: true, allowance: claimed.allowance }
      }
      const row = await towardsRunning(claimed.row, msLeft)
      if (row && row.state !== 'deleted') return { row, created: false }
    }
    throw new Problem('wrong-state', { detail: 'the runtime kept changing; try again', retryAfterSeconds: 1 })
  }

  return {
    ensure: async (wanted, ms, options) => {
      try {
        return await ensureOnce(wanted, ms, options)
      } catch (error) {
        // Given up only for a request that was otherwise let through, and only where it is in the way.
        const isAway = error instanceof Problem && error.code === 'profile-unavailable'
        if (!options?.freshProfile || !isAway) throw error
        await startAfresh(wanted)
        return ensureOnce(wanted, ms, options)
      }
    },

    start: async (row, ms, signal) => {
      const deadline = performance.now() + ms
      let seen: RuntimeRow | undefined = row
      for (let round = 0; seen && round < maxRounds; round++) {
        if (seen.state === 'deleting' || seen.state === 'deleted') throw new Problem('gone')
        const reached = await towardsRunning(seen, () => Math.max(0, deadline - performance.now()), signal)
        if (reached) return reached
        seen = await findRuntimeById(db, row.id)
      }
      throw new Problem('wrong-state', { detail: 'the runtime kept changing; try again', retryAfterSeconds: 1 })
    },

    pause: async (row, ms) => {
      const deadline = performance.now() + ms
      let seen: RuntimeRow | undefined = row
      for (let round = 0; seen && round < maxRounds; round++) {
        if (seen.state === 'deleting' || seen.state === 'deleted') throw new Problem('gone')
        if (seen.state !== 'running' && seen.state !== 'paused')
          throw new Problem('wrong-state', { detail: `it is ${seen.state}; only a running runtime can be paused` })
        const paused: RuntimeRow | undefined =
          seen.state === 'paused' ? seen : await toPaused(db, seen, leaseMs, 'asked')
        if (paused) {
          driver.take(paused)
          const done = await settled(paused, Math.max(0, deadline - performance.now()))
          // Somebody else has moved it since: it is paused no more because they wanted that, later.
          return done ?? (await findRuntimeById(db, row.id)) ?? paused
        }
        seen = await findRuntimeById(db, row.id)
      }
      throw new Problem('wrong-state', { detail: 'the runtime kept changing; try again', retryAfterSeconds: 1 })
    },

    resume: async (row, ms) => {
      const deadline = performance.now() + ms
      const msLeft = () => Math.max(0, deadline - performance.now())
      let seen: RuntimeRow | undefined = row
      for (let round = 0; seen && round < maxRounds; round++) {
        if (seen.state === 'deleting' || seen.state === 'deleted') throw new Problem('gone')
        if (seen.state !== 'running' && seen.state !== 'paused')
          throw new Problem('wrong-state', { detail: `it is ${seen.state}; start it instead` })
        const awake: RuntimeRow | undefined = await (seen.state === 'paused'
          ? wake(seen, msLeft, new AbortController().signal)
          : settled(seen, msLeft()))
        if (awake) return awake
        seen = await findRuntimeById(db, row.id)
      }
      throw new Problem('wrong-state', { detail: 'the runtime kept changing; try again', retryAfterSeconds: 1 })
    },

    stop: async (row, ms) => {
      const deadline = performance.now() + ms
      let seen: RuntimeRow | undefined = row
      for (let round = 0; seen && round < maxRounds; round++) {
        if (seen.state === 'deleting' || seen.state === 'deleted') throw new Problem('gone')
        if (seen.state === 'stopped' || seen.state === 'failed' || seen.state === 'lost') return seen
        const left = Math.max(0, deadline - performance.now())
        const stopping: RuntimeRow | undefined =
          seen.state === 'stopping' ? seen : await toStopping(db, seen, leaseMs, 'asked')
        if (stopping) {
          driver.take(stopping)
          return (await changes.until(row.id, now => now.state !== 'stopping', left)) ?? stopping
        }
        seen = await findRuntimeById(db, row.id)
      }
      throw new Problem('wrong-state', { detail: 'the runtime kept changing; try again', retryAfterSeconds: 1 })
    },

    remove: async (row, removeVolume, ms) => {
      let seen: RuntimeRow | undefined = row
      for (let round = 0; seen && round < maxRounds; round++) {
        if (seen.state === 'deleted') return removeVolume ? await removeProfile(seen) : seen
        if (seen.state === 'deleting') {
          if (removeVolume && !seen.removeVolume) await alsoRemoveVolume(db, seen.id)
          const ended = await changes.until(row.id, now => now.state === 'deleted', ms)
          return ended && removeVolume ? await removeProfile(ended) : (ended ?? seen)
        }
        const deleting = await toDeleting(db, seen, removeVolume, leaseMs)
        if (deleting) {
          driver.take(deleting)
          return (await changes.until(row.id, now => now.state === 'deleted', ms)) ?? deleting
        }
        seen = await findRuntimeById(db, row.id)
      }
      throw new Problem('wrong-state', { detail: 'the runtime kept changing; try again', retryAfterSeconds: 1 })
    },
  }
}
