/** Every `code` the public API answers with: HTTP status and title. Clients rely on the codes. */
export const problems = {
  'invalid-request': [400, 'The request does not fit its schema'],
  'bad-path': [400, 'The path is not in its plain form'],
  unauthorized: [401, 'A valid token is needed'],
  'insufficient-scope': [403, 'The token does not allow this'],
  'wrong-owner': [403, 'The token is for another owner'],
  'tenant-suspended': [403, 'The tenant is suspended'],
  'wrong-origin': [403, 'Pages of this origin may not connect here'],
  'not-found': [404, 'There is no such thing'],
  'spec-not-found': [404, 'There is no such spec'],
  'method-not-allowed': [405, 'The path does not take that method'],
  'wait-timeout': [408, 'It was not in that state in time'],
  'owner-hash-taken': [409, 'Another owner has the same hash'],
  'wrong-state': [409, 'The runtime is not in a state that allows this'],
  'idempotency-at-work': [409, 'The first request with this Idempotency-Key is still at work'],
  'join-refused': [403, 'The host was not admitted'],
  gone: [410, 'The runtime was deleted'],
  'too-large': [413, 'The body is too large'],
  'host-in-use': [409, 'Something is left on the host'],
  'tenant-exists': [409, 'There is a tenant of that name'],
  'issuer-taken': [409, 'The issuer is trusted already'],
  'unsupported-media-type': [415, 'The body must be JSON'],
  'idempotency-mismatch': [422, 'This Idempotency-Key was used with another request'],
  'upgrade-required': [426, 'This path takes WebSocket connections only'],
  'quota-exceeded': [429, 'The tenant is at its limit'],
  'rate-limited': [429, 'The tenant has created too many runtimes in this minute'],
  'too-many-open': [429, 'Too many sockets and requests are open'],
  internal: [500, 'The gateway failed'],
  'runtime-failed': [502, 'The runtime did not start'],
  'upstream-failed': [502, 'The runtime did not answer properly'],
  'no-capacity': [503, 'No host has room for this runtime'],
  'profile-unavailable': [503, "The host that has this owner's profile is away"],
  'host-unreachable': [503, 'The host of this runtime does not answer'],
  'not-running': [503, 'The runtime is not running'],
  'gateway-full': [503, 'The gateway has as many sockets and requests open as it takes'],
  'issuer-unavailable': [503, "The token's issuer does not answer"],
  'database-unavailable': [503, 'The database does not answer'],
  'start-timeout': [504, 'The runtime was not ready in time'],
  'upstream-timeout': [504, 'The runtime did not answer in time'],
} as const satisfies Record<string, readonly [number, string]>

export type ProblemCode = keyof typeof problems
export type ProblemStatus = (typeof problems)[ProblemCode][0]

/** One thing that is wrong with a body, by RFC 6901 pointer (`#/env/PATH`), or with a query parameter or header. */
export type Fault = { pointer: string; detail: string }

type Extra = {
  detail?: string | undefined
  faults?: Fault[]
  retryAfterSeconds?: number
  /** Further members of the answer, as RFC 9457 section 3.2 allows. */
  members?: Record<string, unknown>
  headers?: Record<string, string>
  cause?: unknown
}

/** An answer other than success, thrown from anywhere and written once, at the edge of the app. */
export class Problem extends Error {
  override name = 'Problem'
  readonly code: ProblemCode
  readonly extra: Extra

  constructor(code: ProblemCode, extra: Extra = {}) {
    super(extra.detail ?? problems[code][1], { cause: extra.cause })
    this.code = code
    this.extra = extra
  }

  get status(): ProblemStatus {
    return problems[this.code][0]
  }

  /** RFC 9457 members. */
  toBody(requestId: string): Record<string, unknown> {
    const { detail, faults, members } = this.extra
    return {
      type: `urn:porthole:problem:${this.code}`,
      title: problems[this.code][1],
      status: this.status,
      code: this.code,
      ...(detail === undefined ? {} : { detail }),
      ...(faults ? { errors: faults } : {}),
      ...members,
      requestId,
    }
  }

  toHeaders(requestId: string): Record<string, string> {
    return {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      'x-request-id': requestId,
      ...(this.status === 401 ? { 'www-authenticate': 'Bearer realm="porthole"' } : {}),
      ...(this.extra.retryAfterSeconds === undefined ? {} : { 'retry-after': String(this.extra.retryAfterSeconds) }),
      ...this.extra.headers,
    }
  }
}

/**
 * Codes of Node, postgres.js and Postgres for a database that cannot be reached, is going down, is read-only (25006), or has
 * run out of something: disk (53100), memory, connections.
 */
const databaseAway =
  /^(CONNECTION_|CONNECT_TIMEOUT|ECONN|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EPIPE|ETIMEDOUT|57P0[123]|57014|53[0-9A-Z]{3}$|25006|08)/

const codeOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''

/** What to answer for whatever was thrown. */
export const problemOf = (error: unknown): Problem => {
  if (error instanceof Problem) return error
  for (let cause = error, depth = 0; cause && depth < 5; depth++) {
    if (databaseAway.test(codeOf(cause)))
      return new Problem('database-unavailable', { retryAfterSeconds: 2, cause: error })
    cause = cause instanceof Error ? cause.cause : undefined
  }
  return new Problem('internal', { cause: error })
}
