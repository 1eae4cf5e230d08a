import type { Db } from '@porthole/db'
import { eventually } from '../kit/eventually.ts'
import type { Lab } from '../lab/kit.ts'
import { check } from './checker.ts'
import { callMs, createClient } from './client.ts'
import { watchDeaths } from './deaths.ts'
import type { Evidence } from './evidence.ts'
import type { Footprint } from './footprint.ts'
import { gather } from './gather.ts'
import type { History } from './history.ts'
import type { Plan } from './plan.ts'
import { watchRestart } from './restarts.ts'
import { sampleUntil } from './sampling.ts'
import { carryOut } from './strikes.ts'
import type { Violation } from './violation.ts'

export type Outcome = {
  violations: Violation[]
  history: History
  /** Milliseconds from the last mending until nothing was under way any more. */
  quietMs: number
}

export type Stage = {
  lab: Lab
  /** Of the lab's database, while it is there. */
  db: Db
  /** A token of another tenant. */
  strangerToken: string
  /** What the lab had of the machine before the first schedule. */
  before: Footprint
  tell?: (line: string) => void
  /** Aborted: what is struck is mended, and that is all. */
  signal?: AbortSignal
}

/** Milliseconds until everything that is under way has ended: a container that nobody knows is kept for a minute. */
const quietDeadlineMs = 180_000

/** What the first owner does before the plan begins. */
const opening = (['create', 'drive', 'watch'] as const).map(operation => ({ at: 0, operation, door: 0 }))

/**
 * Runs a plan on a lab, mends everything, waits until nothing is under way, and compares.
 *
 * @throws the signal's reason, when all that was struck is mended
 */
export const runSchedule = async (
  plan: Plan,
  { lab, db, strangerToken, before, tell = () => {}, signal = new AbortController().signal }: Stage,
): Promise<Outcome> => {
  const startedAt = performance.now()
  const now = () => performance.now() - startedAt
  const history: History = { startedAt: Date.now(), entries: [], strikes: [], deaths: [] }
  const owners = plan.owners.map(({ name, steps }) => ({
    name,
    steps,
    client: createClient({ lab, owner: name, history, now, strangerToken }),
  }))
  const watching = { lab, history, now, owners }
  const mended = watchDeaths(lab, now, history.deaths)
  const strikes = {
    lab,
    history,
    now,
    tell,
    mended,
    signal,
    watch: () => watchRestart(watching),
  } satisfies Parameters<typeof carryOut>[1]
  const sampling = new AbortController()
  const sampled = sampleUntil(sampling.signal, { lab, db, history, now })
  try {
    // Somebody is at work before anything breaks, however long a start takes here: else there would be nothing to compare.
    await owners[0]?.client.run(opening, Number.POSITIVE_INFINITY, signal)
    const begun = now()
    const later = <T extends { at: number }>(planned: T): T => ({ ...planned, at: planned.at + begun })
    await Promise.all([
      ...plan.strikes.map(strike => carryOut(later(strike), strikes)),
      ...owners.map(({ client, steps }) => client.run(steps.map(later), plan.ms + begun, signal)),
    ])
  } finally {
    for (const { client } of owners) client.close()
    sampling.abort()
    await sampled
  }
  signal.throwIfAborted()
  const wholeAt = now()
  const violations = await quietly(() => gather(lab, db, { history, callMs, before }))
  return { violations, history, quietMs: now() - wholeAt }
}

/** What is still wrong once nothing is under way any more, or when the time for that is over. */
const quietly = async (look: () => Promise<Evidence>): Promise<Violation[]> => {
  let last: Violation[] = []
  try {
    await eventually(
      async () => {
        last = [{ invariant: '10, deadlines', what: 'the lab could not be looked at' }]
        last = check(await look())
        if (last.some(({ past }) => !past)) throw new Error('something is under way, or wrong')
      },
      quietDeadlineMs,
      1000,
    )
  } catch (error) {
    if (last[0]?.what === 'the lab could not be looked at')
      last[0].what += `: ${error instanceof Error ? error.message : error}`
  }
  return last
}
