import {
  abandonMove,
  claimMove,
  type Db,
  findHost,
  findLive,
  finishMove,
  forgetRemoval,
  type HostView,
  listDraining,
  listDueRemovals,
  listIdleProfiles,
  listOverdue,
  type ProfileRow,
  renewMove,
  toStopping,
} from '@porthole/db'
import type { Logger } from 'pino'
import type { Agents } from '../agents/client.ts'
import type { Driver } from '../runtimes/driver.ts'
import type { Placement } from '../runtimes/placement.ts'
import { type Demand, demandOf } from '../runtimes/score.ts'

/** Empties hosts that are drained, and removes volumes that are nobody's any more. Any number of gateways may do it. */
export type DrainWatch = {
  /** One look, as the timer does it; returns when what it began is done. */
  look(): Promise<void>
  stop(): Promise<void>
}

const everyMs = 2000
/** A move is its gateway's for so long; then another one begins it anew. */
const usualMoveLeaseMs = 30_000
/** Moves at a time, per gateway: each is a stream through it. */
const movesAtOnce = 2
/** Milliseconds before a move that failed is tried again. */
const againMs = 30_000

const owner = ({ tenant, ownerHash }: { tenant: string; ownerHash: string }) => ({ tenant, ownerHash })

export const watchDrains = ({
  db,
  agents,
  placement,
  driver,
  log,
  leaseMs,
  moveLeaseMs = usualMoveLeaseMs,
}: {
  db: Db
  agents: Agents
  placement: Pick<Placement, 'explain' | 'policy'>
  driver: Pick<Driver, 'take'>
  log: Logger
  leaseMs: number
  /** Milliseconds; a third of it is how soon a move notices that a host has gone silent. */
  moveLeaseMs?: number
}): DrainWatch => {
  const stopping = new AbortController()
  const underWay = new Map<string, Promise<void>>()
  const notBefore = new Map<string, number>()

  /** The best host for the profile's owner, other than the one it leaves. */
  const destinationOf = async (profile: ProfileRow): Promise<HostView | undefined> => {
    const row = await findLive(db, profile)
    const nothing: Demand = {
      memoryBytes: 0,
      cpuMillis: 0,
      gpus: 0,
      require: {},
      policy: placement.policy,
      image: undefined,
    }
    const demand = row ? demandOf(row, placement.policy, undefined) : nothing
    // Where it would fit if others left is good enough for a profile: it is the runtime that waits.
    const able = (await placement.explain(demand)).filter(
      ({ host, reason }) => host.id !== profile.hostId && reason?.never !== true && host.live,
    )
    return (able.find(({ reason }) => !reason) ?? able[0])?.host
  }

  const copy = async (claimed: ProfileRow, from: HostView, to: HostView, signal: AbortSignal) => {
    const source = agents.at(from).volumes
    const before = await source.digest(owner(claimed))
    // Never started since it was placed there: there is nothing to take along.
    if (!before) return { bytes: 0, files: 0 }
    const archive = await source.read(owner(claimed), signal)
    try {
      const after = await agents.at(to).volumes.write(owner(claimed), archive, signal)
      if (after.digest !== before.digest) throw new Error('the copy is not what was copied')
      return { bytes: after.bytes, files: after.files }
    } finally {
      archive.destroy()
    }
  }

  /** A host that has vanished from the network ends no connection: its silence has to end the move, for its owner's sake. */
  const isStillGood = async (claimed: ProfileRow, from: HostView, to: HostView): Promise<boolean> => {
    const hosts = await Promise.all([findHost(db, from.id), findHost(db, to.id)])
    return hosts.every(host => host?.live) && (await renewMove(db, claimed, moveLeaseMs))
  }

  const move = async (profile: ProfileRow, from: HostView): Promise<void> => {
    const to = await destinationOf(profile)
    if (!to) {
      log.warn({ profile: profile.id, host: from.id }, 'no host takes a profile that has to move')
      throw new Error('no host takes it')
    }
    const claimed = await claimMove(db, profile, to.id, moveLeaseMs)
    if (!claimed) return
    const cut = new AbortController()
    const renewal = setInterval(() => {
      isStillGood(claimed, from, to).then(
        isGood => isGood || cut.abort(new Error('a host has gone silent, or the move is not ours any more')),
        // A lease that cannot be renewed runs out, and with it this move: the guard of its end sees to that.
        () => {},
      )
    }, moveLeaseMs / 3)
    const startedAt = performance.now()
    try {
      const copied = await copy(claimed, from, to, AbortSignal.any([cut.signal, stopping.signal]))
      if (!(await finishMove(db, claimed))) throw new Error('the move took longer than its lease, or its profile went')
      const ms = Math.round(performance.now() - startedAt)
      log.info({ profile: profile.id, from: from.id, to: to.id, ms, ...copied }, 'profile moved')
    } catch (error) {
      await abandonMove(db, claimed)
      throw error
    } finally {
      clearInterval(renewal)
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
        if (!host) return
        await agents.at(host).volumes.remove(owner(removal))
        await forgetRemoval(db, removal.id)
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
        if (underWay.size < movesAtOnce) take(profile.id, () => move(profile, host))
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
      await Promise.allSettled(underWay.values())
    },
  }
}
