import { type AgentErrorCode, problemHeader } from '@porthole/protocol'
import type { RelayFailure, RelayProblem, RelayTarget } from '@porthole/protocol/relay'
import { Problem, type ProblemCode } from '../problem.ts'

/** Our words for what the relay met on the way to a runtime. */
export const problemCodeOf = ({ code, status }: Pick<RelayFailure, 'code' | 'status'>): ProblemCode => {
  if (code === 'upstream-unverified') return 'host-unreachable'
  if (code === 'overloaded') return 'gateway-full'
  if (status === 504) return 'upstream-timeout'
  if (status === 503) return 'not-running'
  return status === 502 ? 'upstream-failed' : 'invalid-request'
}

export const relayProblem =
  (requestId: string) =>
  (failure: RelayFailure): RelayProblem => {
    const problem = new Problem(problemCodeOf(failure), {
      detail: failure.title,
      ...(failure.status === 503 ? { retryAfterSeconds: 1 } : {}),
    })
    // The status stays the relay's own; type and code are ours.
    return {
      headers: problem.toHeaders(requestId),
      body: JSON.stringify({ ...problem.toBody(requestId), status: failure.status }),
    }
  }

const portCodes: ReadonlyMap<number, ProblemCode> = new Map([
  [503, 'not-running'],
  [504, 'upstream-timeout'],
])

/** What an agent's refusal to pass traffic on means to the one who sent it. Its words are about hosts and hop tokens. */
const agentCodes: ReadonlyMap<string, ProblemCode> = new Map<AgentErrorCode, ProblemCode>([
  ['not-found', 'not-running'],
  ['wrong-state', 'not-running'],
  ['stale-generation', 'not-running'],
  ['port-unreachable', 'upstream-failed'],
])

/** The problem to answer with when an agent has answered for itself, by its error code, and the status it chose. */
export const problemOfAgent = (code: string, status?: number): Problem => {
  // A port that does not answer is one of three things; the status is what the agent's own relay met.
  const known = code === 'port-unreachable' && status !== undefined ? portCodes.get(status) : undefined
  const ours = known ?? agentCodes.get(code) ?? 'host-unreachable'
  return new Problem(ours, ours === 'upstream-failed' || ours === 'upstream-timeout' ? {} : { retryAfterSeconds: 2 })
}

/** Swaps an agent's own answer for ours. */
export const insteadOfAgent =
  (requestId: string): NonNullable<RelayTarget['instead']> =>
  (status, rawHeaders) => {
    const at = rawHeaders.findIndex((name, n) => n % 2 === 0 && name.toLowerCase() === problemHeader)
    if (at < 0) return undefined
    const problem = problemOfAgent(rawHeaders[at + 1] ?? '', status)
    return {
      status: problem.status,
      headers: problem.toHeaders(requestId),
      body: JSON.stringify(problem.toBody(requestId)),
    }
  }
