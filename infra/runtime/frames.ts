/** Opcodes from here on are control frames: close, ping, pong (RFC 6455, section 5.2). */
const firstControl = 8
const longestHead = 14

/** Length in bytes of a frame's head, of which two are there. */
const headLength = (second: number): number => {
  const length = second & 0x7f
  return 2 + (length === 127 ? 8 : length === 126 ? 2 : 0) + (second & 0x80 ? 4 : 0)
}

const payloadLength = (head: Buffer): number => {
  const length = head.readUInt8(1) & 0x7f
  if (length < 126) return length
  return length === 126 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2))
}

/**
 * Follows the frames of one side of a WebSocket, given every chunk in order, and calls `onMessage` for each chunk with a part of
 * a message. Pings, pongs and closes are none: many clients send pings by themselves for as long as they live.
 *
 * Keeps at most a frame's head.
 */
export const createFrameFollower = (onMessage: () => void): ((chunk: Buffer) => void) => {
  const head = Buffer.alloc(longestHead)
  let held = 0
  let left = 0
  let isMessage = false
  return chunk => {
    let at = 0
    let hasMessage = false
    while (at < chunk.length) {
      if (left > 0) {
        hasMessage ||= isMessage
        const length = Math.min(left, chunk.length - at)
        left -= length
        at += length
        continue
      }
      head[held] = chunk[at] ?? 0
      held += 1
      at += 1
      if (held < 2 || held < headLength(head.readUInt8(1))) continue
      isMessage = (head.readUInt8(0) & 0x0f) < firstControl
      hasMessage ||= isMessage
      left = payloadLength(head)
      held = 0
    }
    if (hasMessage) onMessage()
  }
}
