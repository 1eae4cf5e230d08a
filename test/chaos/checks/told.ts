import type { Evidence } from '../evidence.ts'
import { mayEnd } from '../harmless.ts'
import type { Operation } from '../plan.ts'
import type { Violation } from '../violation.ts'

const invariantOf: Partial<Record<Operation, string>> = {
  spy: '7, other tenants',
  'create again': 'acknowledged creates',
}

const toldOf = ({ history }: Evidence): Violation[] => [
  ...history.entries.flatMap(({ owner, operation, wrong }) =>
    wrong === undefined ? [] : [{ invariant: invariantOf[operation] ?? 'isolation', what: `${owner}: ${wrong}` }],
  ),
  ...(history.sampled?.wrong ?? []),
  ...history.strikes.flatMap(({ fault, what, wrong }) =>
    wrong.map(seen => ({ invariant: '5, restarts', what: `${fault} (${what}): ${seen}` })),
  ),
  ...history.strikes.flatMap(({ fault, what, failed }) =>
    failed === undefined ? [] : [{ invariant: '10, deadlines', what: `${fault} (${what}): ${failed}` }],
  ),
]

/** What clients and strikes have seen by themselves. */
export const told = (evidence: Evidence): Violation[] =>
  toldOf(evidence).map(violation => ({ ...violation, past: true }))

/** Milliseconds after the last effect of a fault for which a runtime's end may be its doing: hosts tell by heartbeat. */
const noticedMs = 15_000

/** 5: a runtime ends by itself only where something was struck that may end one. */
export const unprovoked = ({ history, events, runtimes, names }: Evidence): Violation[] => {
  const { startedAt, strikes, deaths, entries } = history
  if (deaths.length > 0) return []
  const byId = new Map(runtimes.map(row => [row.id, row]))
  /** Where a runtime is or has been: events do not say. */
  const placesOf = (id: string) => {
    const row = byId.get(id)
    const told = entries.flatMap(({ runtime }) => (runtime?.id === id && runtime.host ? [runtime.host] : []))
    const container = `${names.containerPrefix}${row?.ownerHash}`
    return [...new Set([...(row?.hostId ? [row.hostId] : []), ...told])].map(host => ({ host, container }))
  }
  return events
    .filter(({ runtimeId, fromState, toState, at }) => {
      const wasUp = fromState === 'running' || fromState === 'paused'
      const ms = at.getTime() - startedAt
      const isExcused = strikes
        .filter(({ at, mendedAt, recoveryMs }) => ms >= at && ms <= mendedAt + recoveryMs + noticedMs)
        .some(struck => placesOf(runtimeId).some(place => mayEnd(struck, place)))
      return ms >= 0 && wasUp && (toState === 'failed' || toState === 'lost') && !isExcused
    })
    .map(({ runtimeId, toState, reason, at }) => ({
      invariant: '5, restarts',
      what: `${runtimeId} became ${toState} (${reason ?? 'no reason'}) at ${((at.getTime() - startedAt) / 1000).toFixed(1)} s, and nothing was struck that may end it`,
      past: true,
    }))
}
