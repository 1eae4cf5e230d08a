/** What a watcher may not send: keys, pointer, clipboard, screen size, power, and QEMU's keys and audio. */
const input = new Set([4, 5, 6, 250, 251, 255])
/** Input that counts as use of the runtime: keys, pointer, clipboard. */
const use = new Set([4, 5, 6, 255])
/** What the extended clipboard does when a person has something to paste: notify, provide. */
const pasteActions = (1 << 27) | (1 << 28)
/** Length in bytes of the extended clipboard's head, its actions included. */
const clipboardHead = 12

/** A client's message of a type that can't be measured, so what follows it can't be told apart either. */
export class UnknownRfbMessage extends Error {
  override name = 'UnknownRfbMessage'
}

/**
 * Length in bytes of the client message that starts at `start`; undefined while too little of it is there to tell.
 * Types by RFC 6143, section 7.5, and the rfbproto community specification.
 */
const messageLength = (data: Buffer, start: number): number | undefined => {
  const at = (offset: number): boolean => data.length - start >= offset
  switch (data[start]) {
    case 0: // SetPixelFormat
      return 20
    case 2: // SetEncodings
      return at(4) ? 4 + 4 * data.readUInt16BE(start + 2) : undefined
    case 3: // FramebufferUpdateRequest
      return 10
    case 4: // KeyEvent
      return 8
    case 5: // PointerEvent
      return 6
    case 6: {
      // ClientCutText; a negative length is the extended clipboard's
      if (!at(8)) return undefined
      const length = data.readInt32BE(start + 4)
      const needed = length <= -4 ? clipboardHead : 8
      return at(needed) ? 8 + Math.abs(length) : undefined
    }
    case 150: // EnableContinuousUpdates
      return 10
    case 248: // ClientFence
      return at(9) ? 9 + (data[start + 8] ?? 0) : undefined
    case 250: // xvp: shut down, reboot, reset
      return 4
    case 251: // SetDesktopSize
      return at(8) ? 8 + 16 * (data[start + 6] ?? 0) : undefined
    case 255: // QEMU: extended key event, or audio
      if (!at(2)) return undefined
      if (data[start + 1] === 0) return 12
      if (data[start + 1] !== 1) break
      if (!at(4)) return undefined
      return data.readUInt16BE(start + 2) === 2 ? 10 : 4
  }
  throw new UnknownRfbMessage(`An RFB client sent a message of the unknown type ${data[start]}`)
}

/**
 * Whether the message at `start`, whose length is known, is somebody's doing. A viewer asks for a clipboard that has changed
 * over here, and says what it can do, by itself.
 */
const isUse = (data: Buffer, start: number): boolean => {
  const type = data[start] ?? 0
  const clipboardLength = type === 6 ? data.readInt32BE(start + 4) : 0
  if (clipboardLength >= 0) return use.has(type)
  return clipboardLength <= -4 && (data.readInt32BE(start + 8) & pasteActions) !== 0
}

/** Longest head of a message, from which its length is known. */
const versionLength = 12

/**
 * Reads a client's half of an RFB connection and takes input out of it unless `mayControl`. Give it every chunk in
 * order; it gives back what may go on to the server. `onUse` is called when input passes.
 *
 * Keeps at most a message's head between chunks; a long message is passed or dropped as it comes.
 * @throws UnknownRfbMessage when the stream can't be followed any further; close the connection then.
 */
export const createRfbFilter = (options: { mayControl: boolean; onUse: () => void }): ((chunk: Buffer) => Buffer[]) => {
  // ProtocolVersion, then (from 3.7 on) the chosen security type, then ClientInit. There is only the type None, which
  // asks nothing of the client.
  let greeting: 'version' | 'security' | 'init' | 'done' = 'version'
  let held: Buffer = Buffer.alloc(0)
  let bodyLeft = 0
  let bodyPasses = false

  /** Bytes of greeting that can be passed on now; 0 when more is needed. */
  const greet = (data: Buffer, start: number): number => {
    if (greeting === 'security' || greeting === 'init') {
      greeting = greeting === 'security' ? 'init' : 'done'
      return 1
    }
    if (data.length - start < versionLength) return 0
    const minor = /^RFB 003\.(\d{3})\n$/.exec(data.toString('latin1', start, start + versionLength))?.[1]
    if (minor === undefined) throw new UnknownRfbMessage('An RFB client did not begin with its version')
    greeting = Number(minor) >= 7 ? 'security' : 'init'
    return versionLength
  }

  return chunk => {
    const data = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    const passed: Buffer[] = []
    let position = 0
    const take = (length: number, passes: boolean) => {
      if (passes && length > 0) passed.push(data.subarray(position, position + length))
      position += length
    }
    held = Buffer.alloc(0)
    while (position < data.length) {
      if (bodyLeft > 0) {
        const length = Math.min(bodyLeft, data.length - position)
        bodyLeft -= length
        take(length, bodyPasses)
        continue
      }
      if (greeting !== 'done') {
        const length = greet(data, position)
        if (length === 0) break
        take(length, true)
        continue
      }
      const length = messageLength(data, position)
      if (length === undefined) break
      const type = data[position] ?? 0
      bodyPasses = options.mayControl || !input.has(type)
      if (bodyPasses && isUse(data, position)) options.onUse()
      bodyLeft = length
    }
    held = Buffer.from(data.subarray(position))
    return passed
  }
}
