import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'
import { inOrder, mayWake } from './asked.ts'

const running = ['pending', 'starting', 'running', 'paused']

/** What was said to be stopped runs no more, unless it was asked for again. */
export const stops = ({ history, runtimes, callMs }: Evidence): Violation[] => {
  const byId = new Map(runtimes.map(row => [row.id, row]))
  return [...Map.groupBy(history.entries, ({ owner }) => owner).values()].flatMap(entries => {
    let stopped: string | undefined
    // A start that nobody answered may still be at work.
    let isOpenUntil = Number.NEGATIVE_INFINITY
    for (const entry of inOrder(entries)) {
      const { operation, outcome, at, ms, asked } = entry
      if (operation === 'stop' && outcome === 'ok') stopped = at > isOpenUntil ? asked : undefined
      if (!mayWake(entry)) continue
      stopped = undefined
      if (outcome === 'unknown') isOpenUntil = Math.max(isOpenUntil, at + ms + callMs)
    }
    const state = stopped === undefined ? undefined : byId.get(stopped)?.state
    return state !== undefined && running.includes(state)
      ? [{ invariant: 'acknowledged stops', what: `${stopped} was stopped, and is ${state}` }]
      : []
  })
}
