import type http from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Answer } from './answer.ts'
import { ask, passAnswer } from './ask.ts'
import { type Connect, probeAfterMs } from './connect.ts'
import { codeOf, type RelayErrorCode, RelayFault } from './errors.ts'
import { answerHeaders, requestHeaders } from './headers.ts'
import { defaultIdleTimeoutMs } from './http.ts'
import { type Buffers, Reader } from './reader.ts'
import { responseOn } from './refuse.ts'
import { hasBody } from './request-body.ts'
import type { Silence } from './silence.ts'
import { asSocket } from './socket.ts'
import { type Splice, splice } from './splice.ts'
import type { RelayResult, RelayTarget } from './types.ts'

const defaultAnswerTimeoutMs = 15_000
const defaultHalfOpenTimeoutMs = 60_000

/** Whether this is an upgrade that may be relayed: to WebSocket (RFC 6455 section 4.1), and with nothing hidden in a body. */
export const isWebSocketUpgrade = (req: http.IncomingMessage): boolean =>
  req.headers.upgrade?.toLowerCase() === 'websocket' &&
  req.method === 'GET' &&
  req.httpVersion === '1.1' &&
  !hasBody(req)

/** What is needed until the sockets are joined, and not for as long as they are. */
type Handshake = { req: http.IncomingMessage; head: Buffer; target: RelayTarget; reader: Reader; connect: Connect }

/**
 * One upgrade. Until the upstream says 101 nothing of the client's but the request's own head goes there, and any other
 * answer is the last thing on the client's connection.
 */
export class UpgradeExchange {
  readonly #client: Socket
  readonly #silence: Silence
  readonly #over = Promise.withResolvers<RelayResult>()
  #answer: { out: Answer; res: http.ServerResponse } | undefined
  #code: RelayErrorCode | undefined
  #giveUp: ((reason: RelayFault) => void) | undefined
  #handshake: Handshake | undefined
  #splice: Splice | undefined

  constructor(
    { connect, silence, buffers }: { connect: Connect; silence: Silence; buffers: Buffers },
    req: http.IncomingMessage,
    socket: Duplex,
    head: Buffer,
    target: RelayTarget,
  ) {
    this.#silence = silence
    this.#client = asSocket(socket)
    this.#handshake = { req, head, target, reader: new Reader(buffers), connect }
    this.#client.on('error', () => {})
    this.#client.setNoDelay(true)
    this.#client.setKeepAlive(true, probeAfterMs)
    this.#client.setTimeout(0)
    this.#client.allowHalfOpen = true
    this.#client.on('close', this.#onClientClose)
  }

  /** Resolves when both sockets are closed. `refusal`: why it is not even tried. */
  run(refusal?: RelayErrorCode): Promise<RelayResult> {
    if (this.#client.closed) this.#onClientClose()
    else if (refusal !== undefined) this.stop(refusal)
    else if (this.#handshake !== undefined) this.#ask(this.#handshake)
    return this.#over.promise
  }

  stop(code: RelayErrorCode): void {
    this.#code ??= code
    this.#splice?.stop(code)
    if (this.#handshake === undefined) return
    this.#giveUp?.(new RelayFault(code))
    this.#answering(this.#handshake).out.fail(code)
  }

  #ask(handshake: Handshake): void {
    const { req, target, reader, connect } = handshake
    const { origin, path, answerTimeoutMs = defaultAnswerTimeoutMs } = target
    let headers: string[]
    try {
      headers = [...requestHeaders(req, target), 'Connection', 'Upgrade', 'Upgrade', 'websocket']
    } catch (error) {
      this.stop(codeOf(error))
      return
    }
    const question = { origin, path, method: 'GET', headers, reader, answerTimeoutMs }
    this.#giveUp = ask(connect, question, {
      asked: request => {
        request.on('upgrade', (answer, upstream, head) => this.#join(handshake, answer, asSocket(upstream), head))
        request.on('response', answer => this.#refuse(handshake, answer))
        request.end()
      },
      failed: error => this.stop(codeOf(error)),
    })
  }

  #join(
    { head, target, reader }: Handshake,
    answer: http.IncomingMessage,
    upstream: Socket,
    upstreamHead: Buffer,
  ): void {
    upstream.on('error', () => {})
    this.#giveUp = undefined
    if (this.#client.destroyed || this.#answer !== undefined) {
      upstream.destroy()
      return
    }
    const client = this.#client
    const protocol = answer.headers.upgrade ?? 'websocket'
    const headers = [...answerHeaders(answer.rawHeaders, target), 'Connection', 'Upgrade', 'Upgrade', protocol]
    const base = { in: client.bytesRead - client.readableLength - head.length, out: 0 }
    client.cork()
    client.write(headOf(answer.statusMessage ?? 'Switching Protocols', headers), 'latin1')
    base.out = client.bytesWritten
    if (upstreamHead.length > 0) client.write(upstreamHead)
    client.uncork()
    if (head.length > 0) upstream.write(head)
    const { idleTimeoutMs: idleMs = 0, halfOpenTimeoutMs: halfOpenMs = defaultHalfOpenTimeoutMs } = target
    const { onSent, onJoined } = target
    const far = { socket: upstream, reader }
    this.#splice = splice(client, far, { idleMs, halfOpenMs }, this.#silence, onSent)
    this.#handshake = undefined
    onJoined?.(protocol)
    // What the splice carries comes later: a socket does not flow before the next tick.
    if (head.length > 0) onSent?.(head)
    this.#splice.ended.then(code => {
      const bytesIn = client.bytesRead - base.in
      const bytesOut = client.bytesWritten - base.out
      this.#over.resolve({ status: 101, ...(code === undefined ? {} : { code }), bytesIn, bytesOut })
    })
  }

  /** The upstream's no, whole, and then the end. */
  #refuse(handshake: Handshake, answer: http.IncomingMessage): void {
    const { out, res } = this.#answering(handshake)
    if (out.code === undefined) passAnswer(answer, res, out, handshake.target.idleTimeoutMs ?? defaultIdleTimeoutMs)
  }

  #answering({ req, target }: Handshake): { out: Answer; res: http.ServerResponse } {
    if (this.#answer === undefined) {
      const res = responseOn(req, this.#client)
      this.#answer = { out: new Answer(res, target), res }
    }
    return this.#answer
  }

  #onClientClose = (): void => {
    if (this.#splice !== undefined) return
    const out = this.#answer?.out
    const isAnswered = this.#answer?.res.writableFinished === true
    const code = out?.code ?? this.#code ?? (isAnswered ? undefined : 'client-gone')
    this.#giveUp?.(new RelayFault('client-gone'))
    this.#over.resolve({
      status: out?.status ?? 0,
      ...(code === undefined ? {} : { code }),
      bytesIn: 0,
      bytesOut: out?.bytes ?? 0,
    })
  }
}

/** The answer's head as it was parsed: Node's parser let no line break into a reason or a value. */
function headOf(reason: string, headers: readonly string[]): string {
  let head = `HTTP/1.1 101 ${reason}\r\n`
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`
  return `${head}\r\n`
}
