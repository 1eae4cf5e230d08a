import http from 'node:http'
import { type Answer, reset } from './answer.ts'
import type { Connect } from './connect.ts'
import { RelayFault } from './errors.ts'
import type { Reader } from './reader.ts'

export interface Question {
  origin: string
  method: string
  path: string
  /** Flat; with every header that goes on the wire. */
  headers: readonly string[]
  /** For a connection that is going to be spliced. */
  reader?: Reader
  /** From connected to the answer's head; 0: none. */
  answerTimeoutMs: number
}

/** What may come of it. At most one of `upgrade` and `response`; `failed` at any time, once. */
export interface Listener {
  /** The head is sent; a body may be written, and the request must be ended. */
  asked(request: http.ClientRequest): void
  failed(error: Error): void
}

/**
 * Asks on a connection of its own, with Node's own HTTP client: for what undici does not do, upgrades whose refusal is
 * read to its end, and heads that go before their body.
 * @returns gives up, with the reason.
 */
export function ask(connect: Connect, question: Question, listener: Listener): (reason: RelayFault) => void {
  let request: http.ClientRequest | undefined
  const connecting = connect(new URL(question.origin), question.reader, (error, socket) => {
    if (error !== null || socket === null) return listener.failed(error ?? new RelayFault('upstream-unreachable'))
    try {
      request = http.request({
        createConnection: () => socket,
        method: question.method,
        path: question.path,
        headers: question.headers,
        maxHeaderSize: 16 * 1024,
      })
    } catch (cause) {
      // Characters that may not stand in a path or in a header.
      socket.destroy()
      return listener.failed(new RelayFault('bad-request', { cause }))
    }
    request.once('error', error => {
      request?.on('error', () => {})
      listener.failed(error)
    })
    if (question.answerTimeoutMs > 0) limit(request, question.answerTimeoutMs)
    listener.asked(request)
  })
  return reason => {
    // A reset, not a FIN: to a relay behind this one a FIN is a half-close, and its client is still there.
    reset(connecting)
    request?.destroy(reason)
  }
}

function limit(request: http.ClientRequest, ms: number): void {
  const deadline = setTimeout(() => request.destroy(new RelayFault('answer-timeout')), ms)
  const clear = () => clearTimeout(deadline)
  request.once('response', clear).once('upgrade', clear).once('close', clear)
}

/**
 * Passes an upstream's answer on, with its trailers, no faster than the client reads.
 * @param idleMs silence of the upstream within the body that ends it, unless it is the client who holds it up; 0: none
 */
export function passAnswer(
  upstream: http.IncomingMessage,
  res: http.ServerResponse,
  answer: Answer,
  idleMs: number,
): void {
  answer.start(upstream.statusCode ?? 502, upstream.statusMessage, upstream.rawHeaders)
  if (answer.code !== undefined) {
    // It could not be passed on, and the client has been told so.
    upstream.on('error', () => {})
    upstream.destroy()
    return
  }
  const giveUp = () => {
    if (upstream.isPaused()) return silence?.refresh()
    answer.fail('idle-timeout')
    upstream.destroy()
  }
  const silence = idleMs > 0 ? setTimeout(giveUp, idleMs) : undefined
  const onDrain = () => {
    silence?.refresh()
    upstream.resume()
  }
  res.on('drain', onDrain)
  upstream.on('data', (chunk: Buffer) => {
    silence?.refresh()
    if (!answer.write(chunk)) upstream.pause()
  })
  upstream.on('end', () => {
    if (upstream.complete) answer.end(upstream.rawTrailers)
  })
  upstream.on('error', () => answer.fail('upstream-failed'))
  upstream.on('close', () => {
    clearTimeout(silence)
    res.off('drain', onDrain)
    if (!upstream.complete) answer.fail('upstream-failed')
  })
}
