import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFrameFollower } from './frames.ts'

/** A client's frame, as RFC 6455, section 5.2, has it. */
const frame = (opcode: number, length: number): Buffer => {
  const head =
    length < 126
      ? Buffer.from([0x80 | opcode, 0x80 | length])
      : length < 65_536
        ? Buffer.from([0x80 | opcode, 0x80 | 126, length >> 8, length & 255])
        : Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | 127, 0, 0, 0, 0]), uint32(length)])
  // The mask, and a payload that looks like heads of other frames.
  return Buffer.concat([head, Buffer.from([1, 2, 3, 4]), Buffer.alloc(length, 0x81)])
}
const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const control = [frame(8, 2), frame(9, 0), frame(10, 125), frame(9, 7)]
const data = [frame(1, 0), frame(2, 125), frame(0, 126), frame(1, 65_535), frame(2, 65_536)]

/** How often a stream that is cut into chunks of that size is told to hold a message. */
const messagesIn = (stream: Buffer, size: number): number => {
  let told = 0
  const follow = createFrameFollower(() => {
    told += 1
  })
  for (let at = 0; at < stream.length; at += size) follow(stream.subarray(at, at + size))
  return told
}

test('pings, pongs and closes are no messages, however they are cut', () => {
  for (const size of [1, 2, 3, 7, 64, 10_000]) assert.equal(messagesIn(Buffer.concat(control), size), 0)
})

test('a message is one, of every length, and after every other frame', () => {
  for (const one of data) {
    assert.equal(messagesIn(one, one.length), 1)
    for (const other of [...control, ...data]) {
      let told = 0
      const follow = createFrameFollower(() => {
        told += 1
      })
      follow(other)
      told = 0
      follow(one)
      assert.equal(told, 1)
      follow(Buffer.concat(control))
      assert.equal(told, 1)
    }
  }
})

test('a long message is told of for as long as it comes', () => {
  assert.equal(messagesIn(frame(2, 65_536), 16_384), 5)
})
