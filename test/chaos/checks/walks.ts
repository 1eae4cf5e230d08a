import { moves } from '@porthole/db'
import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'

/** Events tell a walk through the states that ends where the row is. */
export const walks = ({ events, runtimes }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const say = (what: string) => wrong.push({ invariant: 'events', what })
  // A warning moves nothing.
  const moved = events.filter(({ type }) => type !== 'runtime.expiring')
  const byRuntime = Map.groupBy(moved, ({ runtimeId }) => runtimeId)
  for (const { id, state, generation } of runtimes) {
    let at: string | null = null
    for (const { fromState, toState } of byRuntime.get(id) ?? []) {
      if (fromState !== at) say(`${id} was ${at ?? 'not there'}, and went on from ${fromState}`)
      else if (fromState !== null && !(moves[fromState] as readonly string[]).includes(toState))
        say(`${id} went from ${fromState} to ${toState}`)
      at = toState
    }
    if (at !== state) say(`${id} is ${state}, its events end with ${at}`)
    const last = byRuntime.get(id)?.at(-1)
    if (last && last.generation !== generation) say(`${id} is of ${generation}, its events of ${last.generation}`)
  }
  return wrong
}

/** Whoever lost a runtime is told why. */
export const reasons = ({ runtimes }: Evidence): Violation[] =>
  runtimes
    .filter(({ state, error }) => (state === 'failed' || state === 'lost') && error === null)
    .map(({ id, state }) => ({ invariant: 'events', what: `${id} is ${state}, and nobody is told why` }))
