/** Opcodes of RFC 6455, section 5.2: up to here they are data (continuation, text, binary); close, ping and pong are control. */
const lastData = 2
const firstControl = 8
const lastControl = 10
/** The first bit of a byte: of the first, that a message ends with this frame; of the second, that there is a mask. */
const firstBit = 0x80
/** Payload lengths that mean that the length itself follows, in so many bytes. */
const lengthBytes: Readonly<Record<number, number>> = { 126: 2, 127: 8 }
const maskBytes = 4
/** Bytes of a head that say how long it is, and of the longest. */
const shortest = 2
const longest = 14
/** The longest payload whose length is in the second byte. */
const longestShort = 125

/**
 * How much of what a client sends on a WebSocket is use of it: its data frames. Control frames are none, as programs answer
 * pings by themselves for as long as they live. Of a frame only the head is read, wherever it is cut; nothing is kept
 * of the bytes. From where there is no frame on, everything counts, as nobody knows what it is.
 */
export class SentBytes {
  /** Bytes of use so far. */
  count = 0
  #isOpaque = false
  #isData = false
  /** Of the head that is being read: bytes so far, where its length ends, and where it ends itself. */
  #read = 0
  #lengthEnd = shortest
  #headEnd = shortest
  /** Of its payload: bytes as told so far, and bytes still to come. */
  #length = 0
  #left = 0

  /** What follows is not WebSocket. */
  countAll(): void {
    this.#isOpaque = true
  }

  /** Given all that the client sends, in order, in any pieces. */
  take(piece: Buffer): void {
    let at = 0
    while (at < piece.length && !this.#isOpaque) {
      if (this.#left > 0) at += this.#pass(piece.length - at)
      else if (this.#read > 0 || piece.length - at < longest) at += this.#readHead(piece.readUInt8(at))
      else at = this.#passShort(piece, at)
    }
    if (this.#isOpaque) this.count += piece.length - at
  }

  /**
   * Goes on over frames that are short and whole, as fast as it can: a client that sends nothing else must not keep the host busy.
   * @returns where it has stopped: at a head that is cut, longer, or none, which is read byte by byte
   */
  #passShort(piece: Buffer, from: number): number {
    let at = from
    let count = 0
    const last = piece.length - longest
    while (at <= last) {
      const first = piece[at] ?? 0
      const second = piece[at + 1] ?? 0
      const length = second & ~firstBit
      const opcode = first & 0x0f
      const isControl = opcode >= firstControl && opcode <= lastControl && first >= firstBit
      if (length > longestShort || (opcode > lastData && !isControl)) break
      const size = shortest + (second >= firstBit ? maskBytes : 0) + length
      if (at + size > piece.length) break
      if (!isControl) count += size
      at += size
    }
    this.count += count
    if (at > from) return at
    return from + this.#readHead(piece.readUInt8(from))
  }

  /** @returns how many of `most` bytes are payload */
  #pass(most: number): number {
    const passed = Math.min(this.#left, most)
    this.#left -= passed
    if (this.#isData) this.count += passed
    return passed
  }

  /** @returns how many bytes were read: none when that is no head of a frame */
  #readHead(byte: number): number {
    if (!this.#fits(byte)) {
      this.#isOpaque = true
      // Of what was taken for the head of a control frame nothing has been counted.
      if (!this.#isData) this.count += this.#read
      return 0
    }
    if (this.#isData) this.count += 1
    this.#read += 1
    if (this.#read === this.#headEnd) {
      this.#left = this.#length
      this.#read = 0
      this.#headEnd = shortest
    }
    return 1
  }

  /** Reads the next byte of a head. @returns false when it can't be one */
  #fits(byte: number): boolean {
    if (this.#read === 0) {
      const opcode = byte & 0x0f
      this.#isData = opcode <= lastData
      // A control frame is never a fragment.
      return this.#isData || (opcode >= firstControl && opcode <= lastControl && byte >= firstBit)
    }
    if (this.#read === 1) {
      const told = byte & ~firstBit
      const longer = lengthBytes[told] ?? 0
      this.#length = longer === 0 ? told : 0
      this.#lengthEnd = shortest + longer
      // Whether a client may leave the mask out is for the server to judge.
      this.#headEnd = this.#lengthEnd + (byte >= firstBit ? maskBytes : 0)
      return this.#isData || longer === 0
    }
    if (this.#read < this.#lengthEnd) this.#length = this.#length * 256 + byte
    return true
  }
}
