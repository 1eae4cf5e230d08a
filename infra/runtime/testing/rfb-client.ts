import { once } from 'node:events'
import { crc32, deflateSync } from 'node:zlib'
import WebSocket from 'ws'

/** A picture of a screen: `pixels` holds 4 bytes a pixel, blue, green, red, unused. */
export type Picture = { width: number; height: number; pixels: Buffer }

/** Pixels from the top left. */
export type Area = { x: number; y: number; width: number; height: number }

/** A small RFB client for tests: no authentication, raw encoding. */
export type RfbClient = {
  width: number
  height: number
  socket: WebSocket
  /** The whole screen as it is now, or a part. */
  capture: (area?: Area) => Promise<Picture>
  /** Captures until a picture fits, for at most 10 s. */
  captureUntil: (fits: (picture: Picture) => boolean, area?: Area) => Promise<Picture>
  pointer: (x: number, y: number, buttons: number) => void
  /** Presses and releases an X keysym. */
  key: (keysym: number) => void
  close: () => void
}

const deadlineMs = 15_000

const byteReader = (socket: WebSocket): ((length: number) => Promise<Buffer>) => {
  let held = Buffer.alloc(0)
  socket.on('message', (data: Buffer) => {
    held = Buffer.concat([held, data])
    socket.emit('bytes')
  })
  return async length => {
    const signal = AbortSignal.timeout(deadlineMs)
    while (held.length < length) await once(socket, 'bytes', { signal })
    const taken = held.subarray(0, length)
    held = held.subarray(length)
    return taken
  }
}

/** Connects to a view port, such as `ws://172.17.0.2:6080/websockify`. */
export const connectRfb = async (url: string, headers: Record<string, string>): Promise<RfbClient> => {
  const socket = new WebSocket(url, ['binary'], { headers, perMessageDeflate: false })
  const read = byteReader(socket)
  await once(socket, 'open', { signal: AbortSignal.timeout(deadlineMs) })
  await read(12)
  socket.send('RFB 003.008\n')
  const types = await read((await read(1)).readUInt8())
  if (!types.includes(1)) throw new Error('The server asks for a password')
  socket.send(Buffer.from([1]))
  if ((await read(4)).readUInt32BE() !== 0) throw new Error('The server refused the client')
  socket.send(Buffer.from([1]))
  const init = await read(24)
  await read(init.readUInt32BE(20))
  const [width, height] = [init.readUInt16BE(0), init.readUInt16BE(2)]
  // SetPixelFormat: 32 bits, depth 24, little endian, true colour, red at 16, green at 8, blue at 0.
  socket.send(Buffer.from([0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]))
  // SetEncodings: raw only.
  socket.send(Buffer.from([2, 0, 0, 1, 0, 0, 0, 0]))
  const screen = { x: 0, y: 0, width, height }
  const capture = async ({ x: left, y: top, width, height }: Area = screen): Promise<Picture> => {
    const request = Buffer.alloc(10)
    request.writeUInt8(3)
    request.writeUInt16BE(left, 2)
    request.writeUInt16BE(top, 4)
    request.writeUInt16BE(width, 6)
    request.writeUInt16BE(height, 8)
    socket.send(request)
    const pixels = Buffer.alloc(width * height * 4)
    for (;;) {
      const type = (await read(1)).readUInt8()
      if (type === 3) {
        await read((await read(7)).readUInt32BE(3))
        continue
      }
      if (type === 2) continue
      if (type !== 0) throw new Error(`Unexpected message ${type}`)
      const rectangles = (await read(3)).readUInt16BE(1)
      for (let i = 0; i < rectangles; i += 1) {
        const head = await read(12)
        const [x, y, w, h] = [0, 2, 4, 6].map(at => head.readUInt16BE(at)) as [number, number, number, number]
        const data = await read(w * h * 4)
        for (let row = 0; row < h; row += 1) {
          data.copy(pixels, ((y - top + row) * width + x - left) * 4, row * w * 4, (row + 1) * w * 4)
        }
      }
      return { width, height, pixels }
    }
  }
  return {
    ...{ width, height, socket, capture },
    captureUntil: async (fits, area) => {
      const deadline = AbortSignal.timeout(10_000)
      for (;;) {
        deadline.throwIfAborted()
        const picture = await capture(area)
        if (fits(picture)) return picture
      }
    },
    pointer: (x, y, buttons) => {
      socket.send(Buffer.from([5, buttons, x >> 8, x & 255, y >> 8, y & 255]))
    },
    key: keysym => {
      for (const down of [1, 0]) {
        const message = Buffer.from([4, down, 0, 0, 0, 0, 0, 0])
        message.writeUInt32BE(keysym, 4)
        socket.send(message)
      }
    },
    close: () => socket.close(),
  }
}

/** Red, green and blue of a pixel. */
export const colorAt = ({ width, pixels }: Picture, x: number, y: number): [number, number, number] => {
  const at = (y * width + x) * 4
  return [pixels[at + 2] ?? 0, pixels[at + 1] ?? 0, pixels[at] ?? 0]
}

const chunk = (type: string, data: Buffer): Buffer => {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const frame = Buffer.alloc(8)
  frame.writeUInt32BE(data.length, 0)
  frame.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)])
}

/** The picture as a PNG, to look at. */
export const toPng = (picture: Picture): Buffer => {
  const { width, height } = picture
  const raw = Buffer.alloc((width * 3 + 1) * height)
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) raw.set(colorAt(picture, x, y), y * (width * 3 + 1) + 1 + x * 3)
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 2, 0, 0, 0], 8)
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    ...[chunk('IHDR', header), chunk('IDAT', deflateSync(raw)), chunk('IEND', Buffer.alloc(0))],
  ])
}
