import type http from 'node:http'
import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { type RelayErrorCode, RelayFault, relayErrors } from './errors.ts'
import { answerHeaders, trailerHeaders } from './headers.ts'
import type { RelayProblem, RelayTarget } from './types.ts'

/** Informational answers to one request. They are not held back for a slow client, so there must be an end to them. */
const maxInformed = 32
/** Bytes of a body that may be held until its end, to go out with its head in one write. */
const maxHeld = 16 * 1024

/** What the client is told: the upstream's answer as it comes, or a problem of the relay's own. */
export class Answer {
  /** What was sent, 0 until then. */
  status = 0
  bytes = 0
  /** Why it ended other than well: the first reason given. */
  code: RelayErrorCode | undefined
  readonly #res: http.ServerResponse
  readonly #target: RelayTarget
  /** Bytes of body that the head has promised. */
  #length: number | undefined
  /** A whole body, which came at once: its end is next. */
  #held: Buffer | undefined
  #informed = 0
  /** Something else was sent in place of the upstream's answer, which only has to run out. */
  #isReplaced = false

  constructor(res: http.ServerResponse, target: RelayTarget) {
    this.#res = res
    this.#target = target
    // A client that resets the connection is seen by `close`; the error says nothing more.
    res.on('error', () => {})
  }

  /** 102, 103 and the like. HTTP/1.0 has no such answers. @throws RelayFault `upstream-malformed` for one too many */
  inform(status: number, rawHeaders: readonly string[]): void {
    this.#informed += 1
    if (this.#informed > maxInformed) throw new RelayFault('upstream-malformed')
    if (this.#res.headersSent || this.#res.destroyed || this.#res.req.httpVersion === '1.0') return
    if (status <= 101) return
    try {
      this.#res.writeInformation(status, answerHeaders(rawHeaders, this.#target))
    } catch {
      // It was optional, and what Node would not write it has not written.
    }
  }

  start(status: number, message: string | undefined, rawHeaders: readonly string[]): void {
    const instead = this.#target.instead?.(status, rawHeaders)
    if (instead !== undefined) {
      this.#isReplaced = true
      this.status = instead.status
      sendProblem(this.#res, instead.status, instead)
      return
    }
    if (status < 200) {
      // A 101 that nobody has asked for: whoever stands in front would take what follows for another protocol.
      this.fail('upstream-malformed')
      return
    }
    const headers = answerHeaders(rawHeaders, this.#target, this.#hasTrailers(status))
    try {
      this.#res.writeHead(status, message !== undefined && isReason(message) ? message : undefined, headers)
    } catch {
      // Parsers let pass what may not be written, a status of 099 for one: thrown from here it would end the process.
      this.fail('upstream-malformed')
      return
    }
    this.status = status
    this.#length = lengthOf(headers)
    queueMicrotask(this.#goOn)
  }

  /** Whether the client's answer may end with trailers, which only chunks do. */
  #hasTrailers(status: number): boolean {
    const { method, httpVersion } = this.#res.req
    return httpVersion !== '1.0' && method !== 'HEAD' && status !== 204 && status !== 304
  }

  /** SSE and long polls want the head now, not with the first event; what came with it goes out in one piece. */
  #goOn = (): void => {
    if (this.#res.writableEnded || this.#res.destroyed) return
    if (this.#held !== undefined) this.#res.write(this.#held)
    // Not `flushHeaders`, which sends as UTF-8 what are bytes.
    else if (this.bytes === 0) this.#res.write('', 'latin1')
    this.#held = undefined
  }

  /** False: wait for the response's `drain`. */
  write(chunk: Buffer): boolean {
    // Sent whole already: what still comes only has to run out.
    if (this.#isReplaced || this.#res.writableEnded) return true
    this.bytes += chunk.length
    if (chunk.length === this.#length && chunk.length <= maxHeld) {
      this.#held = chunk
      queueMicrotask(this.#goOn)
      return true
    }
    return this.#res.write(chunk)
  }

  end(rawTrailers: readonly string[]): void {
    if (this.#isReplaced || this.#res.writableEnded) return
    try {
      if (rawTrailers.length > 0) this.#res.addTrailers(trailerHeaders(rawTrailers, this.#target))
    } catch {
      this.fail('upstream-malformed')
      return
    }
    // As text it shares a write with the head; every byte is a character of this encoding.
    if (this.#held === undefined) this.#res.end()
    else this.#res.end(this.#held.toString('latin1'), 'latin1')
    this.#held = undefined
  }

  /** A problem of its own while nothing was sent; a visible break afterwards. The first failure is the one that counts. */
  fail(code: RelayErrorCode): void {
    if (this.code !== undefined) return
    this.code = code
    if (this.#isReplaced) return
    if (this.#res.destroyed || this.#res.writableFinished) return
    if (this.#res.headersSent) {
      this.#cut()
      return
    }
    const [status, title] = relayErrors[code]
    const problem = (this.#target.problem ?? plainProblem)({ code, status, title })
    this.status = status
    sendProblem(this.#res, status, problem)
  }

  /** A body that only the end of the connection delimits would look whole after a FIN: reset it. */
  #cut(): void {
    const { socket } = this.#res
    if (!this.#res.chunkedEncoding && this.#length === undefined && socket instanceof Socket) reset(socket)
    this.#res.destroy()
  }
}

/** Sends a whole problem answer. */
export function sendProblem(res: http.ServerResponse, status: number, problem: RelayProblem): void {
  // What a head that could not be written has left.
  res.statusMessage = ''
  res.writeHead(status, { ...problem.headers, 'Content-Length': Buffer.byteLength(problem.body) })
  res.end(problem.body)
}

/** Closes with RST where there is one: TLS connections are cut without a close_notify instead. */
export function reset(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}

export function plainProblem(failure: { code: RelayErrorCode; status: number; title: string }): RelayProblem {
  const { code, status, title } = failure
  return {
    headers: { 'Content-Type': 'application/problem+json' },
    body: JSON.stringify({ type: 'about:blank', title, status, code }),
  }
}

const isReason = (text: string): boolean => /^[\t\x20-\x7e\x80-\xff]+$/.test(text)

function lengthOf(headers: readonly string[]): number | undefined {
  for (let i = 0; i < headers.length; i += 2)
    if (headers[i]?.length === 14 && headers[i]?.toLowerCase() === 'content-length') return Number(headers[i + 1])
  return undefined
}
