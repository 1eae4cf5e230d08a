import { z } from 'zod'

/** What an agent answers instead of a result: RFC 9457 `application/problem+json`. */
export const agentProblem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  code: z.string(),
  detail: z.string().optional(),
  /** Exit code of a container that ended while it was awaited. */
  exitCode: z.number().int().optional(),
  /** Last lines of that container's log, for the owner's eyes. */
  logTail: z.string().optional(),
})
export type AgentProblem = z.infer<typeof agentProblem>

/** Every `code` an agent can answer with: HTTP status and title. */
export const agentErrors = {
  'bad-request': [400, 'The command does not fit its schema'],
  unauthorized: [401, 'The token is missing, expired, or not for this host'],
  'not-found': [404, 'This host has no such runtime'],
  'stale-generation': [409, 'A newer generation of this runtime was seen here'],
  'wrong-state': [409, 'The runtime is not in a state that allows this'],
  'name-taken': [409, 'A container or volume of that name belongs to somebody else'],
  'runtime-exited': [502, 'The container ended before it was ready'],
  'port-unreachable': [502, 'The runtime does not answer on that port'],
  'no-room': [503, 'This host has no room for another runtime'],
  busy: [503, 'Too many commands are waiting on this host'],
  'keys-unavailable': [503, "The gateway's public keys could not be read to check the token"],
  'engine-unavailable': [503, 'The Docker engine does not answer'],
  'image-missing': [503, 'The image is not on this host and could not be pulled'],
  'engine-refused': [502, 'The Docker engine refused the request'],
  'not-ready': [504, 'The runtime did not become ready in time'],
  internal: [500, 'The agent failed'],
} as const satisfies Record<string, readonly [number, string]>

export type AgentErrorCode = keyof typeof agentErrors

/**
 * Names the code on every answer under `/edge/` that is the agent's own, so that it can be told from a container's. No
 * container can send it: the agent drops every `x-porthole-*` header from their answers.
 */
export const problemHeader = 'x-porthole-problem'
