import { type AgentErrorCode, type AgentProblem, agentErrors } from '@porthole/protocol'
import { EngineRefused, EngineUnavailable } from './engine/errors.ts'

/** What a problem may say beyond its code; all of it is for the gateway and the runtime's owner. */
export type ProblemFacts = { detail?: string; exitCode?: number; logTail?: string }

/** A command or an edge request that fails, with a code from the one table. */
export class AgentError extends Error {
  override readonly name = 'AgentError'
  readonly code: AgentErrorCode
  readonly facts: ProblemFacts
  constructor(code: AgentErrorCode, facts: ProblemFacts = {}, options?: ErrorOptions) {
    super(facts.detail ?? agentErrors[code][1], options)
    this.code = code
    this.facts = facts
  }
}

/** Any failure as one with a code; what nobody foresaw is `internal` and says nothing of itself. */
export const toAgentError = (error: unknown): AgentError => {
  if (error instanceof AgentError) return error
  if (error instanceof EngineUnavailable) return new AgentError('engine-unavailable', {}, { cause: error })
  if (error instanceof EngineRefused) {
    return new AgentError('engine-refused', { detail: error.message }, { cause: error })
  }
  return new AgentError('internal', {}, { cause: error })
}

export const problemOf = ({ code, facts }: AgentError): AgentProblem => {
  const [status, title] = agentErrors[code]
  return { type: `urn:porthole:agent:${code}`, title, status, code, ...facts }
}
