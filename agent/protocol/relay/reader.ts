import type { OnReadOpts, Socket } from 'node:net'

/** Bytes of the buffer that all connections share, and of the one that a connection has while much comes. */
const smallBytes = 16 * 1024
const largeBytes = 256 * 1024
/** Large buffers in use at a time. Connections beyond have one of their own of this size, while much comes. */
const maxLarge = 256
const fairBytes = 32 * 1024
/** Large buffers that are kept for the next connection: fresh memory costs more than what is read into it. */
const maxSpare = 16

/** The buffers of one relay. */
export interface Buffers {
  /** What is read into it is to be copied at once: the next read of any connection is read over it. */
  readonly small: Buffer
  /** Not to be used after `giveBack` of it. */
  take(): Buffer
  giveBack(buffer: Buffer): void
  /** What was taken is not given back: something may be reading from it still. */
  forfeit(buffer: Buffer): void
}

export function createBuffers(): Buffers {
  const spare: Buffer[] = []
  let used = 0
  const forfeit = (buffer: Buffer) => {
    if (buffer.length === largeBytes) used -= 1
  }
  return {
    small: Buffer.allocUnsafeSlow(smallBytes),
    take() {
      if (used >= maxLarge) return Buffer.allocUnsafeSlow(fairBytes)
      used += 1
      return spare.pop() ?? Buffer.allocUnsafeSlow(largeBytes)
    },
    giveBack(buffer) {
      forfeit(buffer)
      if (buffer.length === largeBytes && spare.length < maxSpare) spare.push(buffer)
    },
    forfeit,
  }
}

/**
 * Reads a TCP connection into a buffer that is there (`onread` of `net.Socket`), where Node would make one of 64 KiB for each
 * read. That buffer is everybody's, as a read is over before the next one begins, so a connection that is idle has none.
 * While more is there than fits, it has a large one of its own.
 *
 * Until it is told where to, what is read is an ordinary readable stream: for the handshake.
 */
export class Reader {
  readonly onread: OnReadOpts
  readonly #buffers: Buffers
  #large: Buffer | undefined
  #socket: Socket | undefined
  #sink: Socket | undefined

  constructor(buffers: Buffers) {
    this.#buffers = buffers
    this.onread = { buffer: () => this.#large ?? buffers.small, callback: bytes => this.#onBytes(bytes) }
  }

  /** Once, before anything is read of a socket that was made with `onread`. */
  reads(socket: Socket): void {
    this.#socket = socket
    socket.on('close', () => {
      if (this.#large !== undefined) this.#buffers.forfeit(this.#large)
      this.#large = undefined
    })
  }

  /**
   * From here on every byte goes to `sink`, no faster than it takes them.
   * @returns false: this reads nothing; the socket was made without
   */
  passTo(sink: Socket): boolean {
    const socket = this.#socket
    if (socket === undefined) return false
    for (let early = socket.read(); early !== null; early = socket.read()) sink.write(early)
    this.#sink = sink
    sink.on('drain', () => socket.resume())
    // Nothing is left in the stream but its end, which is told only while it flows.
    socket.resume()
    return true
  }

  #onBytes(bytes: number): boolean {
    const sink = this.#sink
    const large = this.#large
    if (sink === undefined || large === undefined) {
      const read = Buffer.from(this.#buffers.small.subarray(0, bytes))
      if (sink === undefined) return this.#socket?.push(read) ?? false
      if (bytes === smallBytes) this.#large = this.#buffers.take()
      return sink.write(read)
    }
    const goesOn = pass(large.subarray(0, bytes), sink)
    if (goesOn && bytes < large.length) {
      // That was all there was for now. One that sleeps after this has no buffer.
      this.#buffers.giveBack(large)
      this.#large = undefined
    }
    return goesOn
  }
}

/**
 * Writes a piece of a buffer that is used again.
 * @returns false: nothing may be read before `drain`; the buffer is in use until then
 */
function pass(bytes: Buffer, sink: Socket): boolean {
  // A stream tells that it is drained only of so much; less is copied, which costs less than to wait for it.
  if (bytes.length < sink.writableHighWaterMark) return sink.write(Buffer.from(bytes))
  sink.write(bytes)
  // False is returned for so much in any case; what counts is whether the kernel took it at once.
  return sink.writableLength === 0
}
