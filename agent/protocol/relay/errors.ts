/** Every `code` a relay can end with: HTTP status (of the answer, where one can still be given) and title. */
export const relayErrors = {
  'bad-request': [400, 'The request cannot be relayed'],
  'method-not-allowed': [405, 'This method is not relayed'],
  'upgrade-unsupported': [400, 'Only WebSocket upgrades without a body are relayed'],
  'upstream-unreachable': [502, 'The upstream refused the connection or could not be reached'],
  'upstream-unverified': [503, 'The upstream is not the one that was to be reached'],
  'upstream-failed': [502, 'The upstream ended the connection without a complete answer'],
  'upstream-malformed': [502, 'The upstream sent something that is not an HTTP answer'],
  'connect-timeout': [504, 'The upstream took too long to accept the connection'],
  'answer-timeout': [504, 'The upstream took too long to answer'],
  'idle-timeout': [504, 'The exchange went silent'],
  overloaded: [503, 'Too many exchanges at a time'],
  closed: [503, 'The target was stopped, moved or revoked'],
  'client-gone': [499, 'The client went away'],
} as const satisfies Record<string, readonly [number, string]>

export type RelayErrorCode = keyof typeof relayErrors

/** A failure whose code is known where it happens. */
export class RelayFault extends Error {
  readonly code: RelayErrorCode

  constructor(code: RelayErrorCode, options?: ErrorOptions) {
    super(relayErrors[code][1], options)
    this.code = code
  }
}

/**
 * What an error from undici or from Node's HTTP client means here. Connection errors arrive as `RelayFault`, so
 * whatever is not named below happened on a connection that stood.
 */
export function codeOf(error: unknown): RelayErrorCode {
  if (error instanceof RelayFault) return error.code
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code.startsWith('HPE_')) return 'upstream-malformed'
  return codes.get(code) ?? 'upstream-failed'
}

const codes: ReadonlyMap<string, RelayErrorCode> = new Map<string, RelayErrorCode>([
  ['UND_ERR_HEADERS_TIMEOUT', 'answer-timeout'],
  ['UND_ERR_BODY_TIMEOUT', 'idle-timeout'],
  ['UND_ERR_HEADERS_OVERFLOW', 'upstream-malformed'],
  ['UND_ERR_INVALID_ARG', 'bad-request'],
  ['UND_ERR_NOT_SUPPORTED', 'bad-request'],
  ['UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 'bad-request'],
  ['UND_ERR_DESTROYED', 'closed'],
  ['UND_ERR_CLOSED', 'closed'],
  ['ERR_INVALID_CHAR', 'bad-request'],
  ['ERR_UNESCAPED_CHARACTERS', 'bad-request'],
])
