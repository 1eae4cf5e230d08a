import type { Evidence } from '../evidence.ts'
import { harmless } from '../harmless.ts'
import type { Operation } from '../plan.ts'
import type { Violation } from '../violation.ts'

const invariantOf: Partial<Record<Operation, string>> = {
  spy: '7, other tenants',
  'create again': 'acknowledged creates',
}

/** What clients and strikes have seen by themselves. */
export const told = ({ history }: Evidence): Violation[] => [
  ...history.entries.flatMap(({ owner, operation, wrong }) =>
    wrong === undefined ? [] : [{ invariant: invariantOf[operation] ?? 'isolation', what: `${owner}: ${wrong}` }],
  ),
  ...history.strikes.flatMap(({ fault, what, wrong }) =>
    wrong.map(seen => ({ invariant: '5, restarts', what: `${fault} (${what}): ${seen}` })),
  ),
  ...history.strikes.flatMap(({ fault, what, failed }) =>
    failed === undefined ? [] : [{ invariant: '10, deadlines', what: `${fault} (${what}): ${failed}` }],
  ),
]

/** 5: where nothing was struck that may end a runtime, none has ended. */
export const unprovoked = ({ history: { strikes, deaths }, events }: Evidence): Violation[] => {
  if (deaths.length > 0 || !strikes.every(({ fault }) => harmless.has(fault))) return []
  return events
    .filter(({ fromState, toState }) => {
      const wasUp = fromState === 'running' || fromState === 'paused'
      return wasUp && (toState === 'failed' || toState === 'lost')
    })
    .map(({ runtimeId, toState, reason }) => ({
      invariant: '5, restarts',
      what: `${runtimeId} became ${toState} (${reason ?? 'no reason'}), and nothing was struck that may end a runtime`,
    }))
}
