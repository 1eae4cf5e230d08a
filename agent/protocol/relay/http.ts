import type http from 'node:http'
import type { Agent, Dispatcher } from 'undici'
import type { Answer } from './answer.ts'
import { codeOf, type RelayErrorCode, RelayFault } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { requestHeaders, without } from './headers.ts'
import { leftover, outliveUpload } from './leftover.ts'
import type { Connection, PooledRequest } from './pool.ts'
import { hasBody, RequestBody } from './request-body.ts'
import type { RelayResult, RelayTarget } from './types.ts'

export const defaultAnswerTimeoutMs = 300_000
export const defaultIdleTimeoutMs = 3_600_000

/** Methods that may be sent twice (RFC 9110 section 9.2.2); without a body, so that there is nothing to replay. */
const repeatable: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

export interface Pools {
  kept: Agent
  /** Where a request is repeated: it opens a connection for each. */
  fresh: Agent
}

/** One request on its way through undici's dispatcher: its callbacks in, the client's answer out. */
export class HttpExchange implements Dispatcher.DispatchHandler, Exchange {
  readonly #answer: Answer
  readonly #body: RequestBody | null
  readonly #pools: Pools
  readonly #req: http.IncomingMessage
  readonly #res: http.ServerResponse
  readonly #request: PooledRequest
  readonly #mayRepeat: boolean
  #connection: Connection = { requests: 0, broken: false }
  #controller: Dispatcher.DispatchController | undefined
  #onReused = false
  #answerBegun = false
  #repeated = false
  #upstreamDone = false
  #endsWithConnection = false

  /** @throws RelayFault `bad-request` */
  constructor(pools: Pools, req: http.IncomingMessage, res: http.ServerResponse, answer: Answer, target: RelayTarget) {
    const asked = requestHeaders(req, target)
    const headers = req.headers.expect === undefined ? asked : without(asked, 'expect')
    const idleMs = target.idleTimeoutMs ?? defaultIdleTimeoutMs
    const uploadIdleMs = target.uploadIdleTimeoutMs ?? idleMs
    this.#pools = pools
    this.#req = req
    this.#res = res
    this.#answer = answer
    this.#body = hasBody(req) ? new RequestBody(req, uploadIdleMs) : null
    this.#mayRepeat = this.#body === null && repeatable.has(req.method ?? '')
    this.#request = {
      origin: target.origin,
      path: target.path,
      method: req.method ?? 'GET',
      headers,
      body: this.#body,
      headersTimeout: target.answerTimeoutMs ?? defaultAnswerTimeoutMs,
      bodyTimeout: idleMs,
      servername: 'upstream',
      onConnection: connection => {
        this.#connection = connection
      },
    }
    this.#body?.on('error', () => {})
  }

  start(): void {
    this.#pools.kept.dispatch(this.#request, this)
  }

  /** Gives the upstream up, and tells the client why where it can still be told. */
  stop(code: RelayErrorCode): void {
    this.#answer.fail(code)
    this.#controller?.abort(new RelayFault(code))
    this.#forgetBody()
  }

  /** Once the client's side is over. */
  result(): RelayResult {
    const { status, code, bytes } = this.#answer
    return { status, ...(code === undefined ? {} : { code }), bytesIn: this.#body?.bytes ?? 0, bytesOut: bytes }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    this.#onReused = this.#connection.requests > 0
    this.#connection.requests += 1
    // The client left, or the target was stopped, while the connection was being made.
    if (this.#answer.code !== undefined) controller.abort(new RelayFault(this.#answer.code))
  }

  onResponseStarted(): void {
    this.#answerBegun = true
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _: unknown, message?: string): void {
    const raw = latin1(controller.rawHeaders)
    if (status < 200) {
      try {
        this.#answer.inform(status, raw)
      } catch (error) {
        controller.abort(error instanceof Error ? error : new RelayFault('upstream-malformed'))
      }
      return
    }
    this.#endsWithConnection = !raw.some(isFraming)
    if (this.#body !== null) outliveUpload(this.#req, this.#res)
    this.#answer.start(status, message, raw)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#answer.write(chunk)) return
    controller.pause()
    this.#res.once('drain', this.#resume)
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    this.#upstreamDone = true
    if (this.#endsWithConnection && this.#connection.broken) this.#answer.fail('upstream-failed')
    else this.#answer.end(latin1(controller.rawTrailers))
    this.#forgetBody()
  }

  onResponseError(_: unknown, error: Error): void {
    if (this.#upstreamDone) return
    if (this.#shouldRepeat(error)) {
      this.#repeated = true
      this.#pools.fresh.dispatch({ ...this.#request, reset: true }, this)
      return
    }
    if (this.#body !== null && !this.#res.headersSent) outliveUpload(this.#req, this.#res)
    this.#answer.fail(codeOf(error))
    this.#forgetBody()
  }

  #resume = (): void => this.#controller?.resume()

  #forgetBody(): void {
    if (this.#body === null) return
    this.#body.destroy()
    leftover(this.#req)
  }

  /** A kept connection that the upstream was closing when it was used: no fault of anybody's, and nothing was done. */
  #shouldRepeat(error: Error): boolean {
    if (!this.#mayRepeat || this.#repeated || this.#answerBegun || !this.#onReused) return false
    return this.#answer.code === undefined && codeOf(error) === 'upstream-failed'
  }
}

function latin1(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return []
  return raw.map(part => (typeof part === 'string' ? part : part.toString('latin1')))
}

/** Whether it is the name, in a flat list, of a header that says where a body ends. */
const isFraming = (name: string, at: number): boolean =>
  at % 2 === 0 && (name.length === 14 || name.length === 17) && /^(content-length|transfer-encoding)$/i.test(name)
