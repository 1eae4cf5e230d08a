import assert from 'node:assert/strict'
import test from 'node:test'
import { createRfbFilter, UnknownRfbMessage } from './rfb-filter.ts'

const greeting = Buffer.concat([Buffer.from('RFB 003.008\n'), Buffer.from([1, 1])])
const pixelFormat = Buffer.from([0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0])
const encodings = Buffer.from([2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x21])
const update = Buffer.from([3, 1, 0, 0, 0, 0, 5, 0, 3, 32])
const continuous = Buffer.from([150, 1, 0, 0, 0, 0, 5, 0, 3, 32])
const fence = Buffer.from([248, 0, 0, 0, 0, 0, 0, 1, 3, 9, 9, 9])
const key = Buffer.from([4, 1, 0, 0, 0, 0, 0, 0x61])
const pointer = Buffer.from([5, 1, 0, 10, 0, 10])
const cutText = Buffer.concat([Buffer.from([6, 0, 0, 0, 0, 0, 0, 5]), Buffer.from('hello')])
/** The extended clipboard says its length as a negative number. */
const extendedCutText = Buffer.concat([Buffer.from([6, 0, 0, 0, 0xff, 0xff, 0xff, 0xfc]), Buffer.from([1, 2, 3, 4])])
const xvp = Buffer.from([250, 0, 1, 2])
const desktopSize = Buffer.concat([Buffer.from([251, 0, 4, 0, 3, 0, 1, 0]), Buffer.alloc(16)])
const qemuKey = Buffer.from([255, 0, 0, 1, 0, 0, 0, 0x61, 0, 0, 0, 30])
const qemuAudio = Buffer.from([255, 1, 0, 2, 3, 2, 0, 0, 0xac, 0x44])

const harmless = [pixelFormat, encodings, update, continuous, fence]
const input = [key, pointer, cutText, extendedCutText, xvp, desktopSize, qemuKey, qemuAudio]
const everything = Buffer.concat([greeting, ...harmless.flatMap((message, i) => [message, ...input.slice(i)])])

const feed = (mayControl: boolean, chunks: Buffer[]): { passed: Buffer; uses: number } => {
  let uses = 0
  const filter = createRfbFilter({ mayControl, onUse: () => (uses += 1) })
  return { passed: Buffer.concat(chunks.flatMap(filter)), uses }
}

const splitInto = (data: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(data.length / size) }, (_, i) => data.subarray(i * size, (i + 1) * size))

test('a watcher’s keys, pointer, clipboard, power and screen size are dropped and all else passes, however it is cut', () => {
  const expected = Buffer.concat([greeting, ...harmless])
  for (const size of [1, 2, 3, 5, 7, 11, 64, everything.length]) {
    const { passed, uses } = feed(false, splitInto(everything, size))
    assert.deepEqual(passed, expected, `chunks of ${size}`)
    assert.equal(uses, 0)
  }
})

test('whoever may control has everything passed', () => {
  for (const size of [1, 13, everything.length]) {
    assert.deepEqual(feed(true, splitInto(everything, size)).passed, everything)
  }
})

test('keys, pointer and clipboard count as use; updates, fences and a new screen size do not', () => {
  assert.equal(feed(true, [greeting, ...harmless, desktopSize, xvp]).uses, 0)
  assert.equal(feed(true, [greeting, key, pointer, cutText, qemuKey]).uses, 4)
})

test('a paste is use, by the extended clipboard too; what a viewer answers by itself is not', () => {
  /** Notify, provide, and the length that says that they are of the extended clipboard; by the rfbproto specification. */
  const extended = (action: number, length = 4) => {
    const message = Buffer.alloc(8 + length)
    message.writeUInt8(6)
    message.writeInt32BE(-length, 4)
    message.writeUInt32BE(2 ** action + 1, 8)
    return message
  }
  for (const [action, uses] of [
    [24, 0],
    [25, 0],
    [26, 0],
    [27, 1],
    [28, 1],
  ] as const)
    for (const size of [1, 7, 64]) {
      const stream = Buffer.concat([greeting, extended(action), extended(action, 40), update])
      const { passed, uses: counted } = feed(true, splitInto(stream, size))
      assert.deepEqual(passed, stream)
      assert.equal(counted, 2 * uses, `action ${action} in chunks of ${size}`)
    }
})

test('an RFB 3.3 client chooses no security type', () => {
  const old = Buffer.concat([Buffer.from('RFB 003.003\n'), Buffer.from([1])])
  assert.deepEqual(feed(false, [Buffer.concat([old, key, update])]).passed, Buffer.concat([old, update]))
})

test('input hidden in the body of a long clipboard is not taken for messages, and the body is not kept', () => {
  const head = Buffer.from([6, 0, 0, 0, 0, 16, 0, 0])
  const filter = createRfbFilter({ mayControl: false, onUse: () => {} })
  filter(greeting)
  assert.deepEqual(filter(head), [])
  for (let i = 0; i < 16; i += 1) assert.deepEqual(filter(Buffer.alloc(65_536, 3)), [])
  assert.deepEqual(Buffer.concat(filter(update)), update)
})

test('a message of an unknown type ends the connection, for watchers and controllers alike', () => {
  for (const mayControl of [true, false]) {
    for (const type of [1, 7, 99, 249, 252]) {
      assert.throws(() => feed(mayControl, [greeting, Buffer.from([type, 0, 0, 0])]), UnknownRfbMessage)
    }
    assert.throws(() => feed(mayControl, [greeting, Buffer.from([255, 9, 0, 0])]), UnknownRfbMessage)
  }
})

test('a client that does not begin with an RFB version is refused', () => {
  assert.throws(() => feed(true, [Buffer.from('GET / HTTP/1.1\r\n')]), UnknownRfbMessage)
})
