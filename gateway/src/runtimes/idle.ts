import {
  type Db,
  type Deadline,
  type HostView,
  isStillDue,
  listHostsById,
  lookAgainAt,
  nextEnd,
  noteUnused,
  type Read,
  type RuntimeRow,
  takeIdle,
  toDeleting,
  toPaused,
  toStopping,
  warnOf,
} from '@porthole/db'
import type { Logger } from 'pino'
import type { Agents } from '../agents/client.ts'
import type { Driver } from './driver.ts'
import { createUseAsker, type UseAsker } from './idle-hosts.ts'

/** Pauses, stops and deletes runtimes that nobody has used for as long as their rules say. Any number of gateways may do it. */
export type IdleWatch = {
  /** One look, as the timer does it. @returns how many runtimes were looked at */
  look(): Promise<number>
  stop(): Promise<void>
}

const usualMs = 2000
/** Runtimes that are taken together, how often in a row, and how many are seen to at a time. */
const atOnce = 100
const maxRounds = 5
const settledAtOnce = 16
/** Hosts that are asked at a time, each for so many of its runtimes, and milliseconds until the next look goes on with the others. */
const hostsAtOnce = 32
const asksAtOnce = 2
const usualAsksMs = 5000
/** Milliseconds for which nobody else looks at them: longer than that takes. */
const lookMs = 60_000
/** Milliseconds before it is looked whether a host that is away is back. */
const awayMs = 15_000
/** A gateway that closes waits so long for what is under way. */
const stopMs = 2000

/** Does `work` for all, so many at a time. */
const forAll = async <T>(all: Iterable<T>, most: number, work: (one: T) => Promise<void>): Promise<void> => {
  const left = Iterator.from(all)
  const next = async () => {
    for (const one of left) await work(one)
  }
  await Promise.all(Array.from({ length: most }, next))
}

/**
 * Whoever looks at a runtime whose time seems to be over asks its host first when it was used last: gateways see that a
 * view is open, its host sees that somebody types. What is done then is one update, provided that nobody has used or moved it
 * since. A host that cannot be asked is no reason to stop anything, and so no runtime of it is, until it can. What is
 * frozen or stopped nobody can use without waking it, and its age counts whoever uses it: there no host is asked. Nothing is
 * ended that nobody was warned of: a look that comes late warns first, and puts the end off.
 */
export const watchIdle = ({
  db,
  agents,
  driver,
  log,
  leaseMs,
  everyMs = usualMs,
  asksMs = usualAsksMs,
  asker = createUseAsker({ agents, log }),
}: {
  db: Db
  agents: Agents
  driver: Pick<Driver, 'take'>
  log: Logger
  leaseMs: number
  /** Milliseconds between two looks. */
  everyMs?: number
  /** Milliseconds after which a look begins no more to ask hosts. */
  asksMs?: number
  asker?: UseAsker
}): IdleWatch => {
  /** @returns false when that does not hold any more: it was moved, has other rules, or was used */
  const end = async (row: RuntimeRow, deadline: Deadline): Promise<boolean> => {
    const { action, reason } = deadline
    const provided = isStillDue(row, deadline)
    const because = provided && { provided }
    const ended = await (action === 'pause'
      ? toPaused(db, row, leaseMs, reason, because)
      : action === 'stop'
        ? toStopping(db, row, leaseMs, reason, because)
        : // As when somebody deletes it: what a task leaves goes with it, other profiles stay.
          toDeleting(db, row, row.mode === 'docker-per-task', leaseMs, { reason, ...because }))
    if (!ended) return false
    log.info({ runtime: row.id, tenant: row.tenant, action, reason }, 'runtime ended by its rules')
    driver.take(ended)
    return true
  }

  /** Does what is due, or puts the look off until something is. */
  const settle = async ({ row, now }: Read): Promise<void> => {
    const next = nextEnd(row, now)
    if (!next) return lookAgainAt(db, row, null)
    const dueAt = next.isWarned ? next.at : next.warnAt
    if (dueAt > now) return lookAgainAt(db, row, dueAt)
    const isDone = await (next.isWarned ? end(row, next) : warnOf(db, row, next))
    if (!isDone) await lookAgainAt(db, row, now)
  }

  /** Only its host knows when it was used last. */
  const isToBeAskedFor = ({ row, now }: Read): boolean => {
    const next = row.state === 'running' ? nextEnd(row, now) : undefined
    return next?.reason === 'idle' && (next.isWarned ? next.at : next.warnAt) <= now
  }

  const settleAsking = async (read: Read, host: HostView | undefined): Promise<void> => {
    const { row, now } = read
    const answer = host?.live ? await asker.ask(host, row) : { againMs: awayMs }
    if ('againMs' in answer) return lookAgainAt(db, row, new Date(now.getTime() + answer.againMs))
    const heard = await noteUnused(db, row, answer.unusedMs)
    if (heard) await settle(heard)
  }

  const caring = async ({ row }: Read, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      // It is looked at again when nobody has it any more.
      log.warn({ err: error, runtime: row.id }, 'unused runtime could not be looked at')
    }
  }

  const look = async (): Promise<number> => {
    const taken = await takeIdle(db, lookMs, atOnce)
    const asked = taken.filter(isToBeAskedFor)
    const settled = forAll(new Set(taken).difference(new Set(asked)), settledAtOnce, read =>
      caring(read, () => settle(read)),
    )
    const byHost = Map.groupBy(asked, ({ row }) => row.hostId ?? '')
    const hosts = new Map((await listHostsById(db, [...byHost.keys()])).map(host => [host.id, host]))
    const askUntil = performance.now() + asksMs
    // One host that is slow holds up no other, and a look not for long.
    const heard = forAll(byHost, hostsAtOnce, ([id, reads]) =>
      forAll(reads, asksAtOnce, read =>
        caring(read, () =>
          performance.now() < askUntil ? settleAsking(read, hosts.get(id)) : lookAgainAt(db, read.row, read.now),
        ),
      ),
    )
    await Promise.all([settled, heard])
    return taken.length
  }

  let isStopping = false
  let looking: Promise<void> | undefined
  const lookAtAll = async () => {
    try {
      for (let round = 0; round < maxRounds && !isStopping; round++) if ((await look()) < atOnce) break
    } catch (error) {
      log.debug({ err: error }, 'unused runtimes could not be looked for')
    }
  }
  const timer = setInterval(() => {
    looking ??= lookAtAll().finally(() => {
      looking = undefined
    })
  }, everyMs)

  return {
    look,
    stop: async () => {
      isStopping = true
      clearInterval(timer)
      let late: NodeJS.Timeout | undefined
      const patience = new Promise<void>(resolve => {
        late = setTimeout(resolve, stopMs)
      })
      await Promise.race([looking, patience])
      clearTimeout(late)
    },
  }
}
