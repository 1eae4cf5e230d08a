import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'

const resting = ['running', 'paused', 'stopped', 'failed', 'lost', 'deleted']

/** 10: everything that was begun has come to an end, and no call took longer than its client was told. */
export const settled = ({ runtimes, removals, history, callMs }: Evidence): Violation[] => [
  ...runtimes
    .filter(({ state, workUntil, lineSince }) => !resting.includes(state) || workUntil !== null || lineSince !== null)
    .map(({ id, state }) => ({ invariant: '10, deadlines', what: `${id} is still ${state}, or worked on` })),
  ...runtimes
    .filter(({ state, reserved }) => reserved && state !== 'running' && state !== 'paused')
    .map(({ id, state }) => ({ invariant: '10, deadlines', what: `${id} is ${state} and holds room` })),
  ...removals.map(({ hostId, ownerHash }) => ({
    invariant: '10, deadlines',
    what: `the volume of ${ownerHash} on ${hostId} is still to be removed`,
  })),
  ...history.entries
    .filter(({ unanswered }) => unanswered)
    .map(({ owner, operation, at }) => ({
      invariant: '10, deadlines',
      what: `${operation} of ${owner} at ${(at / 1000).toFixed(1)} s was not answered within ${callMs / 1000} s`,
      past: true as const,
    })),
]
