import {
  type Db,
  findHost,
  findProfile,
  findRuntimeById,
  freeReservation,
  leaseWork,
  type RuntimeError,
  type RuntimeRow,
  settle,
  takeWork,
  toDeleted,
  toFailedAndFree,
  toFailedStillHeld,
  toPlaceAnew,
  toResumed,
  toRunning,
  toStopped,
  toStopping,
  waitLeft,
  warmTenant,
} from '@porthole/db'
import type { AgentErrorCode, StartCommand, StartSteps } from '@porthole/protocol'
import type { Logger } from 'pino'
import { type AgentClient, AgentRefused, type Agents, AgentUnreachable } from '../agents/client.ts'
import { Problem } from '../problem.ts'
import type { Placement } from './placement.ts'
import type { Room } from './room.ts'

/** A row being moved on is its mover's for so long; then any gateway takes it over. */
export const leaseMs = 15_000
const sweepMs = 1000
const sweepRows = 50
/** Milliseconds a start is sent again and again to a host that does not answer: an agent's restart takes less. */
const silentMs = 10_000

/** Hosts that may refuse one start before it has failed. */
const maxRefusals = 3
/** Times that a step is put off on a host that answers, before it is taken to be impossible: a minute and more. */
const maxTries = 6

/** Moves runtimes on from passing states, on whichever gateway; a row's work lease says which. */
export type Driver = {
  /**
   * Starts moving a row whose lease the caller has just taken. Returns at once.
   * @param placementMs what the caller's own placement of it took, in milliseconds
   */
  take(row: RuntimeRow, placementMs?: number): void
  /** Stops taking over and waits for the steps under way, up to `ms`. What is left, another gateway finishes. */
  close(ms: number): Promise<void>
}

type Parts = {
  db: Db
  agents: Agents
  placement: Pick<Placement, 'place'>
  room: Pick<Room, 'within'>
  log: Logger
  /** The command that starts this generation, with its secrets opened. */
  commandFor(row: RuntimeRow): Promise<StartCommand>
}

const pause = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))

/** Milliseconds until a failed removal is tried again. */
export const backoffMs = (tries: number): number => Math.min(60_000, 1000 * 2 ** Math.min(tries, 6))

/** What the owner is told of an agent's refusal to start. */
const startErrorOf = ({ problem }: AgentRefused): RuntimeError => ({
  code: startErrorCodes[problem.code as AgentErrorCode] ?? 'runtime-failed',
  detail: problem.detail ?? problem.title,
  ...(problem.exitCode === undefined ? {} : { exitCode: problem.exitCode }),
  ...(problem.logTail === undefined ? {} : { logTail: problem.logTail }),
})

const unreadable = (error: Error): RuntimeError =>
  error instanceof Problem
    ? { code: error.code, detail: error.message }
    : { code: 'runtime-failed', detail: 'what it was asked to start with cannot be read any more: delete it' }

/** For the event: what each step of a start took, in milliseconds, as far as that is known. */
const stepsOf = (placementMs: number | undefined, told: StartSteps | undefined): { steps?: StartSteps } => {
  const steps = { ...(placementMs === undefined ? {} : { placement: Math.round(placementMs) }), ...told }
  return Object.keys(steps).length === 0 ? {} : { steps }
}

const startErrorCodes: Partial<Record<AgentErrorCode, string>> = {
  'not-ready': 'start-timeout',
  'engine-unavailable': 'host-unreachable',
  busy: 'host-unreachable',
  'no-room': 'no-capacity',
}

/** Refusals after which the agent cannot say that no container is left. */
const leavesDoubt = (refusal: AgentRefused) => refusal.is('engine-unavailable') || refusal.is('internal')

/** No container of that generation is there to be frozen. */
const isGone = (error: Error) =>
  error instanceof AgentRefused && (error.is('not-found') || error.is('wrong-state') || error.is('stale-generation'))

/** Whether its host has yet to freeze it, or to let it go on. */
export const isTurning = (row: RuntimeRow): boolean =>
  (row.state === 'paused' || row.state === 'running') && row.workUntil !== null

export const hasWork = (row: RuntimeRow): boolean =>
  ['pending', 'starting', 'stopping', 'deleting'].includes(row.state) ||
  isTurning(row) ||
  (row.state === 'failed' && row.reserved)

export const createDriver = ({ db, agents, placement, room, log, commandFor }: Parts): Driver => {
  const underWay = new Map<string, Promise<void>>()
  /** Hosts that have refused a runtime that is being started, and what they said. */
  const refusals = new Map<string, Map<string, string>>()
  /** Milliseconds that placing took, of runtimes that are being started. */
  const placementsMs = new Map<string, number>()
  const closing = new AbortController()

  const agentOf = async (hostId: string | null): Promise<AgentClient | undefined> => {
    const host = hostId === null ? undefined : await findHost(db, hostId)
    return host ? agents.at(host) : undefined
  }

  const putOff = async (row: RuntimeRow, error: unknown) => {
    log.warn(
      { err: error, runtime: row.id, state: row.state, tries: row.workTries },
      'step failed, will be tried again',
    )
    await leaseWork(db, row, backoffMs(row.workTries))
    return undefined
  }

  /** A host that is away is waited for, until it is back, lost or removed. One that is there and fails each time is not. */
  const isHopeless = async (row: RuntimeRow): Promise<boolean> =>
    row.workTries >= maxTries && row.hostId !== null && (await findHost(db, row.hostId))?.live === true

  const placeIt = async (row: RuntimeRow) => {
    const startedAt = performance.now()
    try {
      const attempt = (current: RuntimeRow) => placement.place(current, leaseMs, refusals.get(row.id))
      const placed = await room.within(row, attempt, () => waitLeft(db, row.id), closing.signal, {
        handsOver: true,
      })
      placementsMs.set(row.id, (placementsMs.get(row.id) ?? 0) + performance.now() - startedAt)
      return placed
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      // One that still holds room on a host holds it until that host says that nothing is left there.
      const fail = row.reserved ? toFailedStillHeld : toFailedAndFree
      return fail(db, row, { code: error.code, detail: error.message })
    }
  }

  const startIt = async (row: RuntimeRow) => {
    const agent = await agentOf(row.hostId)
    if (!agent) return toFailedAndFree(db, row, { code: 'host-unreachable', detail: 'its host was removed' })
    const command = await commandFor(row).catch((error: Error) => error)
    // Its spec is not known any more, or its environment cannot be opened: that is so each time.
    if (command instanceof Error) {
      log.error({ err: command, runtime: row.id }, 'start cannot be described to a host')
      return toFailedStillHeld(db, row, unreadable(command))
    }
    const startedAt = performance.now()
    for (let attempt = 1; ; attempt++) {
      try {
        const { steps } = await agent.start(row.id, command)
        const startMs = Math.round(performance.now() - startedAt)
        const running = await toRunning(db, row, { startMs, ...stepsOf(placementsMs.get(row.id), steps) })
        return running ?? (await withdraw(row, agent))
      } catch (error) {
        if (error instanceof AgentRefused) {
          if (error.is('stale-generation')) return await outdated(row, error)
          if (error.is('no-room') || error.is('image-missing')) {
            const again = await elsewhere(row, error)
            if (again) return again
          }
          const fail = leavesDoubt(error) ? toFailedStillHeld : toFailedAndFree
          return fail(db, row, startErrorOf(error))
        }
        if (!(error instanceof AgentUnreachable)) throw error
        // A start is idempotent by generation: sent again, it joins the one that may be running.
        if (performance.now() - startedAt < silentMs) await pause(Math.min(2000, 100 * 2 ** attempt))
        else return toFailedStillHeld(db, row, { code: 'host-unreachable', detail: error.message })
      }
    }
  }

  /** Its host has refused it before it made anything: another one may take it, so many times. */
  const elsewhere = async (row: RuntimeRow, refusal: AgentRefused): Promise<RuntimeRow | undefined> => {
    // One that is only kept warm was made for that host.
    if (row.tenant === warmTenant) return undefined
    const said = refusals.get(row.id) ?? new Map<string, string>()
    if (!row.hostId || said.size >= maxRefusals) return undefined
    const again = await toPlaceAnew(db, row, leaseMs)
    if (again) refusals.set(row.id, said.set(row.hostId, refusal.message))
    return again
  }

  /** The runtime was ended while its start was under way: what the start has made must not outlive that. */
  const withdraw = async (row: RuntimeRow, agent: AgentClient) => {
    const now = await findRuntimeById(db, row.id)
    const isOver = !now || ['deleted', 'stopped', 'failed'].includes(now.state)
    if (isOver && now?.generation === row.generation) await agent.stop(row.id, { generation: row.generation })
    return undefined
  }

  /** The host has seen a newer start than this row knows of: nothing that is tried again can succeed. */
  const outdated = async (row: RuntimeRow, refusal: AgentRefused) => {
    const now = await findRuntimeById(db, row.id)
    if (now?.state !== 'starting' || now.generation !== row.generation) return undefined
    return toFailedStillHeld(db, now, startErrorOf(refusal))
  }

  /** Has the host freeze a runtime that is paused, or let one go on that runs again. */
  const turnIt = async (row: RuntimeRow): Promise<RuntimeRow | undefined> => {
    const agent = await agentOf(row.hostId)
    if (!agent) return toFailedAndFree(db, row, { code: 'host-unreachable', detail: 'its host was removed' })
    try {
      await agent[row.state === 'paused' ? 'pause' : 'resume'](row.id, { generation: row.generation })
      if (await settle(db, row)) return undefined
    } catch (error) {
      if (!(error instanceof AgentRefused || error instanceof AgentUnreachable)) throw error
      if (isGone(error))
        return toFailedStillHeld(db, row, { code: 'runtime-failed', detail: 'its container ended while it was paused' })
      const now = await findRuntimeById(db, row.id)
      if (now?.state === row.state && now.generation === row.generation)
        return (await isHopeless(row)) ? turnBack(row, error) : putOff(row, error)
    }
    // Moved meanwhile: what was just sent may have come after what the newer move sent. That is said again.
    const now = await findRuntimeById(db, row.id)
    const isTurned = now?.generation === row.generation && (now.state === 'paused' || now.state === 'running')
    return isTurned ? turnIt(now) : undefined
  }

  /** Its host cannot freeze it: it goes on, or where it may not, it stops. One that cannot be let go on is of no use. */
  const turnBack = async (row: RuntimeRow, error: Error): Promise<RuntimeRow | undefined> => {
    log.error({ err: error, runtime: row.id, state: row.state }, 'host can neither pause nor resume it')
    if (row.state === 'running')
      return toFailedStillHeld(db, row, { code: 'runtime-failed', detail: `it cannot be resumed: ${error.message}` })
    const resumed = await toResumed(db, row, leaseMs)
    return resumed === 'over-quota' ? toStopping(db, row, leaseMs, 'it cannot be paused') : resumed
  }

  const stopIt = async (row: RuntimeRow) => {
    // One that holds no room anywhere has no container: it was stopped while it waited to be placed.
    const agent = row.reserved ? await agentOf(row.hostId) : undefined
    try {
      await agent?.stop(row.id, { generation: row.generation })
    } catch (error) {
      if (!(error instanceof Error) || !(await isHopeless(row))) return putOff(row, error)
      // Its removal goes on being tried, and it keeps its room until then.
      return toFailedStillHeld(db, row, { code: 'runtime-failed', detail: `it cannot be stopped: ${error.message}` })
    }
    return toStopped(db, row)
  }

  const deleteIt = async (row: RuntimeRow) => {
    // The profile may be an earlier runtime's of the same owner, or have moved on since this one was last on a host.
    const profile = row.removeVolume ? await findProfile(db, row) : undefined
    const places = new Set([row.hostId, profile?.hostId].filter(id => typeof id === 'string'))
    try {
      for (const place of places)
        await (await agentOf(place))?.remove(row.id, {
          generation: Math.max(1, row.generation),
          ownerHash: row.ownerHash,
          removeVolume: row.removeVolume,
        })
    } catch (error) {
      return putOff(row, error)
    }
    const deleted = await toDeleted(db, row, places)
    if (deleted) return deleted
    const now = await findRuntimeById(db, row.id)
    // The volume was asked for while the host removed the rest: once more, with it.
    return now?.state === 'deleting' && now.removeVolume !== row.removeVolume ? now : undefined
  }

  const cleanUp = async (row: RuntimeRow) => {
    const agent = await agentOf(row.hostId)
    try {
      await agent?.stop(row.id, { generation: row.generation })
    } catch (error) {
      return putOff(row, error)
    }
    await freeReservation(db, row)
    return undefined
  }

  const stepOf = (row: RuntimeRow): Promise<RuntimeRow | undefined> | undefined => {
    if (row.state === 'pending') return placeIt(row)
    if (row.state === 'starting') return startIt(row)
    if (row.state === 'stopping') return stopIt(row)
    if (row.state === 'deleting') return deleteIt(row)
    if (isTurning(row)) return turnIt(row)
    return row.state === 'failed' && row.reserved ? cleanUp(row) : undefined
  }

  const run = async (row: RuntimeRow) => {
    let current: RuntimeRow | undefined = row
    const renewal = setInterval(() => {
      // A lease that cannot be renewed runs out, and somebody else takes over: safe, as every move is guarded.
      if (current) leaseWork(db, current, leaseMs).catch(() => {})
    }, leaseMs / 3)
    try {
      while (current && !closing.signal.aborted) current = await stepOf(current)
    } catch (error) {
      log.error({ err: error, runtime: row.id, state: current?.state }, 'runtime could not be moved on')
    } finally {
      clearInterval(renewal)
      refusals.delete(row.id)
      placementsMs.delete(row.id)
    }
  }

  const take = (row: RuntimeRow, placementMs?: number) => {
    // By state too: a deletion does not wait for the start that it cuts short.
    const key = `${row.id} ${row.generation} ${row.state}`
    if (closing.signal.aborted || underWay.has(key) || !hasWork(row)) return
    if (placementMs !== undefined) placementsMs.set(row.id, placementMs)
    underWay.set(
      key,
      run(row).finally(() => underWay.delete(key)),
    )
  }

  let sweeping: Promise<void> | undefined
  let healthy = true
  const sweep = async () => {
    try {
      for (const row of await takeWork(db, leaseMs, sweepRows)) take(row)
      healthy = true
    } catch (error) {
      if (healthy) log.error({ err: error }, 'unfinished runtimes could not be read')
      healthy = false
    }
  }
  const timer = setInterval(() => {
    // A database that is slow to answer is not asked again meanwhile.
    sweeping ??= sweep().finally(() => {
      sweeping = undefined
    })
  }, sweepMs)

  return {
    take,
    close: async ms => {
      closing.abort()
      clearInterval(timer)
      await Promise.race([Promise.all([sweeping, ...underWay.values()]), pause(ms)])
    },
  }
}
