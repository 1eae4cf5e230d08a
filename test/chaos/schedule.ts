import { setTimeout as delay } from 'node:timers/promises'
import type { Db } from '@porthole/db'
import { ownerHashOf } from '../../gateway/src/identity/owner.ts'
import { eventually } from '../kit/eventually.ts'
import type { Lab } from '../lab/kit.ts'
import { check, type Violation } from './checker.ts'
import { callMs, createClient } from './client.ts'
import type { Evidence } from './evidence.ts'
import { faults } from './faults.ts'
import { gather, startedContainers } from './gather.ts'
import type { History, Struck } from './history.ts'
import { atOnce, type Plan, type Strike } from './plan.ts'
import { createRandom } from './seed.ts'

export type Outcome = {
  violations: Violation[]
  history: History
  /** Milliseconds from the last mending until nothing was under way any more. */
  quietMs: number
}

/** Faults that end no runtime, and no view but those that go through what was struck. */
const harmless = new Set(['kill a gateway', 'kill an agent', 'kill Postgres', 'reset of all connections'])
/** Those that close no view either. */
const unseen = new Set(['kill Postgres'])
/** Milliseconds within which everything is to answer again once it was mended. */
const recoveryMs = 90_000
/** Milliseconds until everything that is under way has ended: a container that nobody knows is kept for a minute. */
const quietDeadlineMs = 180_000

/** Runs a plan on a lab, mends everything, waits until nothing is under way, and compares. */
export const runSchedule = async (
  lab: Lab,
  db: Db,
  plan: Plan,
  strangerToken: string,
  tell: (line: string) => void = () => {},
): Promise<Outcome> => {
  const startedAt = performance.now()
  const now = () => performance.now() - startedAt
  const history: History = { entries: [], strikes: [] }
  const clients = plan.owners.map(({ name, steps }) => ({
    name,
    steps,
    client: createClient({ lab, owner: name, history, now, strangerToken }),
  }))
  const windows: { from: number; to: number }[] = []

  /** What must not have changed, by the time this strike was mended, for owners that asked for nothing meanwhile. */
  const watchRestart = async ({ fault }: Strike) => {
    if (!harmless.has(fault)) return async () => []
    const before = await startedContainers(lab)
    const from = now()
    const views = clients.flatMap(({ client }) => client.held() ?? [])
    return async (): Promise<string[]> => {
      // Two faults at once may well end a runtime together.
      if (windows.filter(window => window.to > from - settleMs).length > 1) return []
      const after = await startedContainers(lab)
      const isIdle = (owner: string) =>
        !clients.some(({ name, client }) => name === owner && client.busySince() !== undefined) &&
        !history.entries.some(entry => entry.owner === owner && entry.at + entry.ms > from - settleMs)
      const wrong: string[] = []
      for (const { name } of clients.filter(({ name }) => isIdle(name))) {
        const container = `${lab.names.containerPrefix}${ownerHashOf('default', 'docker-per-principal', name)}`
        const [was, is] = [before.get(container), after.get(container)]
        if (was && was.startedAt !== is?.startedAt) wrong.push(`${container} was ${is ? 'started anew' : 'stopped'}`)
      }
      if (unseen.has(fault))
        for (const { owner, isOpen } of views)
          if (isIdle(owner) && !isOpen()) wrong.push(`the view of ${owner} was closed`)
      return wrong
    }
  }

  const isWhole = async () => {
    for (const { url } of lab.gateways) {
      const answer = await fetch(`${url}/v1/hosts`, {
        headers: { authorization: `Bearer ${lab.adminToken}` },
        signal: AbortSignal.timeout(5000),
      })
      if (!answer.ok) throw new Error(`${url} answers ${answer.status}`)
      const { items } = (await answer.json()) as { items: { id: string; state: string }[] }
      for (const { id } of lab.hosts)
        if (items.find(host => host.id === id)?.state !== 'live') throw new Error(`host ${id} is not live`)
    }
  }

  /** Strikes that are not whole again yet: a machine that is slow must not make more of them than were planned. */
  const under = new Set<{ fault: string; ended: Promise<unknown> }>()
  const strike = async (planned: Strike) => {
    await delay(Math.max(0, planned.at - now()))
    for (;;) {
      const before = [...under]
      if (before.length < atOnce && !before.some(({ fault }) => fault === planned.fault)) break
      await Promise.race(before.map(({ ended }) => ended))
    }
    const mine = { fault: planned.fault, ended: doIt(planned).finally(() => under.delete(mine)) }
    under.add(mine)
    await mine.ended
  }

  const doIt = async (planned: Strike) => {
    const fault = faults.find(({ name }) => name === planned.fault)
    if (!fault) throw new Error(`there is no fault called ${planned.fault}`)
    const window = { from: now(), to: Number.POSITIVE_INFINITY }
    windows.push(window)
    const compare = await watchRestart(planned)
    const at = now()
    const { what, mend } = await fault.strike(lab, createRandom(planned.seed))
    const seen: Struck = { fault: fault.name, what, at, mendedAt: Infinity, recoveryMs: Infinity, wrong: [] }
    history.strikes.push(seen)
    tell(`${(at / 1000).toFixed(1)} s  ${fault.name}: ${what}`)
    await delay(planned.for)
    seen.mendedAt = now()
    await mend()
    seen.wrong = await compare()
    window.to = now()
    // Others may be struck meanwhile: what counts is when all is whole, and the longest is told.
    await eventually(isWhole, recoveryMs, 250)
    seen.recoveryMs = now() - seen.mendedAt
  }

  try {
    const struck = Promise.all(plan.strikes.map(strike))
    const asked = Promise.all(clients.map(({ client, steps }) => client.run(steps, plan.ms)))
    await Promise.all([struck, asked])
    const wholeAt = now()
    const evidence = await quiet(() => gather(lab, db, { history, callMs }))
    return { violations: check(evidence), history, quietMs: now() - wholeAt }
  } finally {
    for (const { client } of clients) client.close()
  }
}

/** Milliseconds for which the end of a call, or of a fault, may still have its effects. */
const settleMs = 3000

/** The evidence once nothing is wrong with it, or as it is when the time is over. */
const quiet = async (look: () => Promise<Evidence>): Promise<Evidence> => {
  let last: Evidence | undefined
  try {
    await eventually(
      async () => {
        last = await look()
        const { invariant, what } = check(last)[0] ?? {}
        if (invariant) throw new Error(`${invariant}: ${what}`)
      },
      quietDeadlineMs,
      1000,
    )
  } catch (error) {
    if (!last) throw error
  }
  return last ?? (await look())
}
