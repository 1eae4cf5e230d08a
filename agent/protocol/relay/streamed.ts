import type http from 'node:http'
import type { Answer } from './answer.ts'
import { ask, passAnswer } from './ask.ts'
import type { Connect } from './connect.ts'
import { codeOf, type RelayErrorCode, RelayFault } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { requestHeaders, requestTrailers, without } from './headers.ts'
import { defaultAnswerTimeoutMs, defaultIdleTimeoutMs } from './http.ts'
import { leftover, outliveUpload } from './leftover.ts'
import { hasBody, RequestBody } from './request-body.ts'
import type { RelayResult, RelayTarget } from './types.ts'

const expectsContinue = (req: http.IncomingMessage): boolean =>
  hasBody(req) && req.headers.expect?.toLowerCase() === '100-continue'

/**
 * Whether the upstream must see the head before there is a body: because the client waits for leave to send it, or
 * because it is a stream that may wait for the answer. undici holds a head back until the first byte of its body, and
 * knows no `Expect`.
 */
export const isStreamed = (req: http.IncomingMessage): boolean =>
  req.headers['transfer-encoding'] !== undefined || expectsContinue(req)

/** A request whose body comes in its own time, on a connection of its own. */
export class StreamedExchange implements Exchange {
  readonly #answer: Answer
  readonly #body: RequestBody
  readonly #connect: Connect
  readonly #headers: string[]
  readonly #isChunked: boolean
  readonly #req: http.IncomingMessage
  readonly #res: http.ServerResponse
  readonly #target: RelayTarget
  #giveUp: ((reason: RelayFault) => void) | undefined
  /** The client still waits for a 100. */
  #waiting: boolean

  /** `deferred`: the client waits for a 100 that was not sent yet. @throws RelayFault `bad-request` */
  constructor(
    connect: Connect,
    req: http.IncomingMessage,
    res: http.ServerResponse,
    answer: Answer,
    target: RelayTarget,
    deferred: boolean,
  ) {
    this.#isChunked = req.headers['content-length'] === undefined
    const framing = this.#isChunked ? ['Transfer-Encoding', 'chunked'] : []
    const headers = requestHeaders(req, target)
    const passed = expectsContinue(req) ? headers : without(headers, 'expect')
    this.#headers = [...passed, ...framing, 'Connection', 'close']
    this.#answer = answer
    this.#body = new RequestBody(req, target.uploadIdleTimeoutMs ?? target.idleTimeoutMs ?? defaultIdleTimeoutMs)
    this.#connect = connect
    this.#req = req
    this.#res = res
    this.#target = target
    this.#waiting = deferred
  }

  start(): void {
    const question = {
      origin: this.#target.origin,
      method: this.#req.method ?? 'POST',
      path: this.#target.path,
      headers: this.#hosted(),
      answerTimeoutMs: this.#target.answerTimeoutMs ?? defaultAnswerTimeoutMs,
    }
    this.#giveUp = ask(this.#connect, question, {
      asked: request => this.#send(request),
      failed: error => this.#end(codeOf(error)),
    })
  }

  stop(code: RelayErrorCode): void {
    this.#end(code)
    this.#giveUp?.(new RelayFault(code))
  }

  result(): RelayResult {
    const { status, code, bytes } = this.#answer
    return { status, ...(code === undefined ? {} : { code }), bytesIn: this.#body.bytes, bytesOut: bytes }
  }

  #hosted(): string[] {
    const hasHost = without(this.#headers, 'host').length < this.#headers.length
    return hasHost ? this.#headers : ['Host', new URL(this.#target.origin).host, ...this.#headers]
  }

  #send(request: http.ClientRequest): void {
    request.on('continue', () => {
      if (!this.#waiting || this.#res.headersSent) return
      this.#waiting = false
      this.#res.writeContinue()
    })
    request.on('information', info => {
      if (info.statusCode === 100) return
      try {
        this.#answer.inform(info.statusCode, info.rawHeaders)
      } catch (error) {
        request.destroy(error instanceof Error ? error : undefined)
      }
    })
    request.on('upgrade', (_, upstream) => {
      // Nobody has asked for another protocol.
      upstream.destroy()
      this.#end('upstream-malformed')
    })
    request.on('response', upstream => {
      this.#settleConnection()
      passAnswer(upstream, this.#res, this.#answer, this.#target.idleTimeoutMs ?? defaultIdleTimeoutMs)
      upstream.on('close', () => this.#forgetBody())
    })
    this.#body.on('error', error => request.destroy(error))
    // Before the pipe's own look at the end, which is the end of the request.
    this.#body.once('end', () => this.#addTrailers(request))
    // Not `flushHeaders`, which sends as UTF-8 what are bytes.
    request.write('', 'latin1')
    // A client that waits for leave sends when it has it, or when it is tired of waiting: passed on as it comes.
    this.#body.pipe(request)
  }

  #addTrailers(request: http.ClientRequest): void {
    const trailers = requestTrailers(this.#req.rawTrailers, this.#target)
    try {
      if (trailers.length > 0 && this.#isChunked) request.addTrailers(trailers)
    } catch (cause) {
      // Parsers let pass what may not be written.
      request.destroy(new RelayFault('bad-request', { cause }))
    }
  }

  #end(code: RelayErrorCode): void {
    if (!this.#res.headersSent) this.#settleConnection()
    this.#answer.fail(code)
    this.#forgetBody()
  }

  /** What becomes of the client's connection when the answer begins. */
  #settleConnection(): void {
    // Whether a client without leave sends the body all the same is not known, so nothing can follow on the connection.
    if (this.#waiting) this.#res.shouldKeepAlive = false
    else outliveUpload(this.#req, this.#res)
  }

  #forgetBody(): void {
    this.#body.destroy()
    leftover(this.#req)
  }
}
