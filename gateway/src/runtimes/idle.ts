import {
  type Db,
  type Deadline,
  isAsUnused,
  isWarnedOf,
  listHostsById,
  lookAgainAt,
  nextDeadline,
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
import { unusedMsOf } from './idle-ask.ts'

/** Pauses, stops and deletes runtimes that nobody has used for as long as their rules say. Any number of gateways may do it. */
export type IdleWatch = {
  /** One look, as the timer does it. @returns how many runtimes were looked at */
  look(): Promise<number>
  stop(): Promise<void>
}

const usualMs = 2000
/** Runtimes that are taken together, how often in a row, and hosts' answers that are awaited at a time. */
const atOnce = 100
const maxRounds = 5
const asksAtOnce = 16
/** Milliseconds for which nobody else looks at them: longer than that takes, unless hosts are slow. */
const lookMs = 60_000
/** Milliseconds before a host that did not say is asked again. */
const againMs = 15_000
/** A gateway that closes waits so long for what is under way. */
const stopMs = 2000

/** Does `work` for all, so many at a time. */
const forAll = async <T>(all: readonly T[], most: number, work: (one: T) => Promise<void>): Promise<void> => {
  const left = all.values()
  const next = async () => {
    for (const one of left) await work(one)
  }
  await Promise.all(Array.from({ length: Math.min(most, all.length) }, next))
}

/**
 * Whoever looks at a runtime whose time seems to be over asks its host first when it was used last: gateways see that a
 * view is open, its host sees that somebody types. What is done then is one update, provided that nobody has used or moved it
 * since. A host that cannot be asked is no reason to stop anything, and so no runtime of it is, until it can. What is
 * frozen or stopped nobody can use without waking it, and its age counts whoever uses it: there no host is asked.
 */
export const watchIdle = ({
  db,
  agents,
  driver,
  log,
  leaseMs,
  everyMs = usualMs,
}: {
  db: Db
  agents: Agents
  driver: Pick<Driver, 'take'>
  log: Logger
  leaseMs: number
  /** Milliseconds between two looks. */
  everyMs?: number
}): IdleWatch => {
  /** @returns false when it was moved or used meanwhile */
  const end = async (row: RuntimeRow, { action, reason }: Deadline): Promise<boolean> => {
    // Its age counts whether it is used or not.
    const provided = reason === 'idle' ? isAsUnused(row) : undefined
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
    const next = nextDeadline(row)
    if (!next || next.warnAt > now) return lookAgainAt(db, row, next?.warnAt ?? null)
    if (next.at > now && isWarnedOf(row, next)) return lookAgainAt(db, row, next.at)
    const isDone = await (next.at <= now ? end(row, next) : warnOf(db, row, next))
    if (!isDone) await lookAgainAt(db, row, now)
  }

  const look = async (): Promise<number> => {
    const taken = await takeIdle(db, lookMs, atOnce)
    const ids = new Set(taken.flatMap(({ row }) => (row.hostId === null ? [] : [row.hostId])))
    const hosts = new Map((await listHostsById(db, [...ids])).map(host => [host.id, host]))
    /** One that did not answer is not waited for again in this look. */
    const silent = new Set<string>()

    const asked = async (read: Read): Promise<Read | undefined> => {
      const { row, now } = read
      const next = nextDeadline(row)
      if (row.state !== 'running' || next?.reason !== 'idle' || next.warnAt > now) return read
      const host = hosts.get(row.hostId ?? '')
      let unusedMs: number | undefined
      if (host?.live && !silent.has(host.id))
        try {
          unusedMs = await unusedMsOf(agents, host, row)
        } catch (error) {
          silent.add(host.id)
          log.debug({ err: error, host: host.id }, 'host could not be asked for the last use of its runtimes')
        }
      if (unusedMs !== undefined) return noteUnused(db, row, unusedMs)
      await lookAgainAt(db, row, new Date(now.getTime() + againMs))
      return undefined
    }

    await forAll(taken, asksAtOnce, async read => {
      try {
        const seen = await asked(read)
        if (seen) await settle(seen)
      } catch (error) {
        // It is looked at again when nobody has it any more.
        log.warn({ err: error, runtime: read.row.id }, 'unused runtime could not be looked at')
      }
    })
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
