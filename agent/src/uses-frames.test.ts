import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SentBytes } from './uses-frames.ts'

type Frame = { opcode: number; fin?: boolean; masked?: boolean; payload: Buffer; lengthBytes?: 0 | 2 | 8 }

/** A frame of RFC 6455, section 5.2. */
const frame = ({ opcode, fin = true, masked = true, payload, ...more }: Frame): Buffer => {
  const { lengthBytes = payload.length < 126 ? 0 : payload.length < 65_536 ? 2 : 8 } = more
  const length = Buffer.alloc(lengthBytes)
  if (lengthBytes === 2) length.writeUInt16BE(payload.length)
  if (lengthBytes === 8) length.writeBigUInt64BE(BigInt(payload.length))
  const told = lengthBytes === 0 ? payload.length : lengthBytes === 2 ? 126 : 127
  const first = [(fin ? 0x80 : 0) | opcode, (masked ? 0x80 : 0) | told]
  return Buffer.concat([Buffer.from(first), length, Buffer.from(masked ? [1, 2, 3, 4] : []), payload])
}
/** Looks like heads of data frames, if it is read as such. */
const filler = (length: number) => Buffer.alloc(length, 0x81)
const data = (length: number) => frame({ opcode: 2, payload: filler(length) })
const pong = (length = 0) => frame({ opcode: 10, payload: filler(length) })

const countOf = (pieces: readonly Buffer[]): number => {
  const sent = new SentBytes()
  for (const piece of pieces) sent.take(piece)
  return sent.count
}
/** Cut behind so many bytes each, again and again. */
const cut = (stream: Buffer, sizes: readonly number[]): Buffer[] => {
  const pieces: Buffer[] = []
  for (let at = 0, n = 0; at < stream.length; n++) {
    const size = sizes[n % sizes.length] ?? stream.length
    pieces.push(stream.subarray(at, at + size))
    at += size
  }
  return pieces
}

test('frames of data count with their heads, an empty one too, and fragments like whole ones', () => {
  for (const length of [0, 1, 125, 126, 65_535, 65_536]) assert.equal(countOf([data(length)]), data(length).length)
  const first = frame({ opcode: 1, fin: false, payload: filler(3) })
  const last = frame({ opcode: 0, payload: filler(200) })
  assert.equal(countOf([Buffer.concat([first, pong(7), last])]), first.length + last.length)
})

test('closes, pings and pongs do not count, whatever is in them', () => {
  const control = [8, 9, 10].flatMap(opcode =>
    [0, 2, 125].flatMap(length => [true, false].map(masked => frame({ opcode, masked, payload: filler(length) }))),
  )
  assert.equal(countOf([Buffer.concat(control)]), 0)
})

/** None of them is a head: and what follows, which would be a pong, counts too. */
const noFrames: [what: string, head: number[]][] = [
  ['a reserved opcode', [0x83, 0x80]],
  ['another reserved opcode', [0x8b, 0x80]],
  ['a ping in fragments', [0x09, 0x80]],
  ['a pong that is too long for one', [0x8a, 0xfe, 0, 126]],
  ['a length that no number is exact for', [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ['text', [...Buffer.from('hello')]],
]
for (const [what, head] of noFrames)
  test(`from ${what} on everything counts`, () => {
    const stream = Buffer.concat([pong(), Buffer.from(head), pong(3)])
    for (const size of [1, 2, 3, stream.length])
      assert.equal(countOf(cut(stream, [size])), stream.length - pong().length, `cut each ${size} bytes`)
  })

test('of another protocol everything counts', () => {
  const sent = new SentBytes()
  sent.countAll()
  sent.take(pong())
  assert.equal(sent.count, pong().length)
})

test('a payload of more than 4 GiB is followed', () => {
  const sent = new SentBytes()
  const head = Buffer.from([0x82, 0x7f, 0, 0, 0, 1, 0, 0, 0, 6])
  const first = Buffer.concat([filler(6), pong(), pong()])
  sent.take(Buffer.concat([head, first]))
  assert.equal(sent.count, head.length + first.length)
  // What is in a payload is not looked at, so this memory is never touched.
  const piece = Buffer.allocUnsafeSlow(2 ** 28)
  for (let n = 0; n < 15; n++) sent.take(piece)
  sent.take(piece.subarray(first.length - 6))
  assert.equal(sent.count, head.length + 2 ** 32 + 6)
  sent.take(pong())
  assert.equal(sent.count, head.length + 2 ** 32 + 6)
})

/** Numbers from 0 up to below `most` that look random, the same ones for each seed: a linear congruential generator. */
const numbers = (seed: number) => {
  let state = seed
  return (most: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * most)
  }
}
const list = <T>(length: number, make: () => T): T[] => Array.from({ length }, make)

test('however frames are cut into pieces, those of data count and no others', () => {
  for (let seed = 0; seed < 100; seed++) {
    const below = numbers(seed)
    const some = (): Frame => {
      const [fin, masked] = [below(2) === 0, below(4) > 0]
      if (below(2) === 0) return { opcode: 8 + below(3), masked, payload: filler(below(126)) }
      const isLong = below(10) === 0
      const payload = filler(isLong ? 65_530 + below(10) : below(140))
      return { opcode: below(3), fin, masked, payload, ...(isLong || below(5) > 0 ? {} : { lengthBytes: 8 }) }
    }
    const frames = list(1 + below(10), some)
    const wanted = frames.filter(({ opcode }) => opcode < 8).reduce((sum, one) => sum + frame(one).length, 0)
    const stream = Buffer.concat(frames.map(frame))
    for (const most of [1, 4, 20, 300, 70_000]) {
      const sizes = list(20, () => 1 + below(most))
      assert.equal(countOf(cut(stream, sizes)), wanted, `seed ${seed}, up to ${most} bytes`)
    }
  }
})

test('whatever bytes come count the same, however they are cut into pieces', () => {
  let odd = 0
  for (let seed = 0; seed < 2000; seed++) {
    const below = numbers(seed)
    // Mostly what may be a head, so that it takes a while until nothing is.
    const byte = () => (below(8) === 0 ? below(256) : ([0x8a, 0x80, 0x82, 0x89, 0x00, 0xff][below(6)] ?? 0))
    const stream = Buffer.from(list(below(200), byte))
    const count = countOf([stream])
    if (count > 0 && count < stream.length) odd += 1
    for (const most of [1, 3, 50]) {
      const sizes = list(20, () => 1 + below(most))
      assert.equal(countOf(cut(stream, sizes)), count, `seed ${seed}, up to ${most} bytes`)
    }
  }
  assert(odd > 200, `only ${odd} of these streams are neither use as a whole nor none`)
})
