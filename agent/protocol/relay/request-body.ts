import type http from 'node:http'
import { Readable } from 'node:stream'
import { RelayFault } from './errors.ts'

/** Whether a request brings a body (RFC 9112 section 6.3). */
export function hasBody(req: http.IncomingMessage): boolean {
  const length = req.headers['content-length']
  return req.headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) !== 0)
}

/**
 * A request's body as a stream of its own: an upstream's failure destroys this one, and leaves the request, and with it
 * the connection on which the answer must still go out.
 */
export class RequestBody extends Readable {
  bytes = 0
  readonly #req: http.IncomingMessage
  readonly #idleMs: number
  #stalled: NodeJS.Timeout | undefined

  /** `idleMs`: silence of the client's, while more is wanted, after which the body fails with `idle-timeout`; 0: never. */
  constructor(req: http.IncomingMessage, idleMs: number) {
    super()
    this.#req = req
    this.#idleMs = idleMs
    this.#await()
    req.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose)
    req.pause()
  }

  override _read(): void {
    if (this.#stalled === undefined) this.#await()
    this.#req.resume()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#stalled)
    this.#req.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose)
    callback(error)
  }

  #onData = (chunk: Buffer): void => {
    this.bytes += chunk.length
    this.#stalled?.refresh()
    if (this.push(chunk)) return
    this.#req.pause()
    // Now it is the upstream that is waited for.
    clearTimeout(this.#stalled)
    this.#stalled = undefined
  }

  #await(): void {
    if (this.#idleMs > 0 && !this.#req.readableEnded)
      this.#stalled = setTimeout(() => this.destroy(new RelayFault('idle-timeout')), this.#idleMs)
  }

  #onEnd = (): void => {
    clearTimeout(this.#stalled)
    this.push(null)
  }

  #onClose = (): void => {
    if (!this.#req.readableEnded) this.destroy(new RelayFault('client-gone'))
  }
}
