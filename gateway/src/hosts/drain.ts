import { setTimeout as delay } from 'node:timers/promises'
import {
  claimRemoval,
  type Db,
  findHost,
  forgetRemoval,
  listDraining,
  listDueRemovals,
  listIdleProfiles,
  listOverdue,
  releaseRemoval,
  toStopping,
} from '@porthole/db'
import type { Logger } from 'pino'
import { AgentRefused, type Agents } from '../agents/client.ts'
import type { Driver } from '../runtimes/driver.ts'
import type { Placement } from '../runtimes/placement.ts'
import { createDestinations } from './drain-destinations.ts'
import { createMover } from './drain-move.ts'

/** Empties hosts that are drained, and removes volumes that are nobody's any more. Any number of gateways may do it. */
export type DrainWatch = {
  /** One look, as the timer does it; returns when what it began is done. */
  look(): Promise<void>
  stop(): Promise<void>
}

const everyMs = 2000
/** A gateway that closes waits so long for what is under way. */
const stopMs = 4000
/** A move is its gateway's for so long; then another one begins it anew. */
const usualMoveLeaseMs = 30_000
/** Moves at a time, per gateway: each is a stream through it. */
const movesAtOnce = 2
/** Milliseconds before a move that failed is tried again. */
const usualAgainMs = 30_000

/**
 * A removal is its gateway's for so long: nobody else sends one, nor is the volume's name used again, while one without an
 * answer may still arrive. A command's token is good for 90 s at most, and the agent has it wait 30 s for its turn.
 */
const removalLeaseMs = 150_000

/** Whether nothing of a command that failed is on its way any more: it was answered, or never sent. */
const isOver = (error: unknown): boolean => {
  if (!(error instanceof Error)) return false
  return error instanceof AgentRefused || ('code' in error && neverSent.has(error.code)) || isOver(error.cause)
}
/** What is said of a connection that was not made, by the client and by our own connector. */
const neverSent = new Set<unknown>([
  'ECONNREFUSED',
  'UND_ERR_CONNECT_TIMEOUT',
  'upstream-unreachable',
  'upstream-unverified',
  'connect-timeout',
])

/** A container has the volume still, one that is to be removed itself: no fault, and over in a moment. */
const isInUse = (error: unknown): boolean => error instanceof AgentRefused && error.is('wrong-state')

export const watchDrains = ({
  db,
  agents,
  placement,
  driver,
  log,
  leaseMs,
  moveLeaseMs = usualMoveLeaseMs,
  againMs = usualAgainMs,
}: {
  db: Db
  agents: Agents
  placement: Pick<Placement, 'explain' | 'policy'>
  driver: Pick<Driver, 'take'>
  log: Logger
  leaseMs: number
  /** Milliseconds; a third of it is how soon a move notices that a host has gone silent. */
  moveLeaseMs?: number
  againMs?: number
}): DrainWatch => {
  const stopping = new AbortController()
  const underWay = new Map<string, Promise<void>>()
  const notBefore = new Map<string, number>()

  const destinations = createDestinations({ db, placement })
  const move = createMover({ db, agents, destinations, log, leaseMs: moveLeaseMs, stopping: stopping.signal })

  let moving = 0
  /** Removals that wait for their hosts hold up no move. */
  const moveCounted: typeof move = async (...args) => {
    moving += 1
    try {
      await move(...args)
    } finally {
      moving -= 1
    }
  }

  const take = (key: string, work: () => Promise<void>) => {
    if (underWay.has(key) || (notBefore.get(key) ?? 0) > performance.now()) return
    const done = work()
      .then(() => void notBefore.delete(key))
      .catch(error => {
        notBefore.set(key, performance.now() + againMs)
        if (!stopping.signal.aborted) log.warn({ err: error, key }, 'draining: a step failed, will be tried again')
      })
      .finally(() => underWay.delete(key))
    underWay.set(key, done)
  }

  const removeDue = async () => {
    for (const removal of await listDueRemovals(db))
      take(removal.id, async () => {
        const host = await findHost(db, removal.hostId)
        const claimed = host && (await claimRemoval(db, removal.id, removalLeaseMs))
        if (!claimed) return
        try {
          await agents.at(host).volumes.remove({ tenant: claimed.tenant, ownerHash: claimed.ownerHash })
        } catch (error) {
          if (isOver(error)) await releaseRemoval(db, claimed)
          if (isInUse(error)) return
          throw error
        }
        await forgetRemoval(db, claimed)
      })
  }

  const look = async (): Promise<void> => {
    for (const host of await listDraining(db)) {
      for (const row of await listOverdue(db, host.id)) {
        const ending = await toStopping(db, row, leaseMs, 'its host is drained')
        if (ending) driver.take(ending)
      }
      if (!host.live) continue
      for (const profile of await listIdleProfiles(db, host.id))
        if (moving < movesAtOnce) take(profile.id, () => moveCounted(profile, host))
    }
    await removeDue()
  }

  let looking: Promise<void> | undefined
  const timer = setInterval(() => {
    if (looking) return
    looking = look()
      .catch(error => log.debug({ err: error }, 'draining hosts could not be looked for'))
      .finally(() => {
        looking = undefined
      })
  }, everyMs)

  return {
    look: async () => {
      await look()
      await Promise.all(underWay.values())
    },
    stop: async () => {
      clearInterval(timer)
      stopping.abort()
      await looking
      // What a host does not answer is tried again by another gateway, or the next one here.
      await Promise.race([Promise.allSettled(underWay.values()), delay(stopMs, undefined, { ref: false })])
    },
  }
}
