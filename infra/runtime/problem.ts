import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** Every `code` the ports answer with: HTTP status and title. */
export const problems = {
  'bad-request': [400, 'The request does not fit its schema'],
  unauthorized: [401, 'x-porthole-key is missing or wrong'],
  'origin-refused': [403, 'Requests from web pages are refused'],
  'not-found': [404, 'Nothing is served under this path'],
  'method-not-allowed': [405, 'This path does not take that method'],
  'already-personal': [409, 'This runtime has been given the settings of an owner before, and they were others'],
  'body-too-large': [413, 'The body is too large'],
  'wrong-host': [421, 'Host must be an address, localhost, or the name of this container'],
  'upgrade-required': [426, 'This path takes WebSocket connections only'],
  'no-model': [501, 'No model is configured: set OPENAI_BASE_URL, OPENAI_API_KEY and MODEL_DEFAULT'],
  'task-not-supported': [501, 'This image does not carry out tasks; send actions'],
  'no-screen': [503, 'This runtime has no screen to watch (BROWSER_ENABLE_UI is off)'],
  'browser-down': [503, 'Chromium does not answer'],
  'display-down': [503, 'The X server does not answer'],
  busy: [503, 'Too many runs are waiting'],
  internal: [500, 'The runtime failed'],
} as const satisfies Record<string, readonly [number, string]>

export type ProblemCode = keyof typeof problems

/** One fault in a body: a JSON pointer (RFC 6901) and what is wrong there. */
export type Fault = { pointer: string; detail: string }

export type Problem = {
  code: ProblemCode
  detail?: string | undefined
  errors?: Fault[] | undefined
  /** Of a runtime that is not well: milliseconds since it was last used. */
  unusedMs?: number | undefined
}

const body = ({ code, detail, errors, unusedMs }: Problem): string => {
  const [status, title] = problems[code]
  return JSON.stringify({ type: 'about:blank', title, status, code, detail, errors, unusedMs })
}

/** Answers a request with RFC 9457 `application/problem+json`. */
export const sendProblem = (response: ServerResponse, problem: Problem): void => {
  response
    .writeHead(problems[problem.code][0], { 'content-type': 'application/problem+json', 'cache-control': 'no-store' })
    .end(body(problem))
}

/** Answers an upgrade with a problem instead, and closes the connection. */
export const refuseUpgrade = (socket: Duplex, problem: Problem): void => {
  const content = body(problem)
  const status = problems[problem.code][0]
  socket.end(
    [
      `HTTP/1.1 ${status} ${problem.code}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(content)}`,
      'Connection: close',
      '',
      content,
    ].join('\r\n'),
  )
}

/** Answers with JSON. */
export const sendJson = (response: ServerResponse, status: number, value: unknown): void => {
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(value))
}
