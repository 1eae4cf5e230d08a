import type { RelayFailure, RelayProblem } from '@porthole/protocol/relay'
import { Problem, type ProblemCode } from '../problem.ts'

/** Our words for what the relay met on the way to a runtime. */
const codeOf = ({ status }: RelayFailure): ProblemCode => {
  if (status === 504) return 'upstream-timeout'
  if (status === 503) return 'not-running'
  return status === 502 ? 'upstream-failed' : 'invalid-request'
}

export const relayProblem =
  (requestId: string) =>
  (failure: RelayFailure): RelayProblem => {
    const problem = new Problem(codeOf(failure), {
      detail: failure.title,
      ...(failure.status === 503 ? { retryAfterSeconds: 1 } : {}),
    })
    // The status stays the relay's own; type and code are ours.
    return {
      headers: problem.toHeaders(requestId),
      body: JSON.stringify({ ...problem.toBody(requestId), status: failure.status }),
    }
  }
