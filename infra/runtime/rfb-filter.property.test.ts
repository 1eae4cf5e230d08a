import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createRfbFilter, UnknownRfbMessage } from './rfb-filter.ts'

const greeting = Buffer.concat([Buffer.from('RFB 003.008\n'), Buffer.from([1, 1])])

const u16 = (value: number) => Buffer.from([value >> 8, value & 255])
const i32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map(found => Buffer.from(found))
const typed = (type: number, rest: fc.Arbitrary<Buffer>) => rest.map(rest => Buffer.concat([Buffer.from([type]), rest]))

/** Messages that a watcher may send, by RFC 6143 section 7.5, written without the filter's own measure. */
const harmless = fc.oneof(
  typed(0, bytes(19)),
  fc.integer({ min: 0, max: 40 }).chain(count =>
    typed(
      2,
      bytes(4 * count).map(list => Buffer.concat([Buffer.from([0]), u16(count), list])),
    ),
  ),
  typed(3, bytes(9)),
  typed(150, bytes(9)),
  fc.integer({ min: 0, max: 64 }).chain(length =>
    typed(
      248,
      bytes(7 + length).map(rest => {
        const copy = Buffer.from(rest)
        return Buffer.concat([copy.subarray(0, 7), Buffer.from([length]), copy.subarray(7)])
      }),
    ),
  ),
)
/** Messages that act: their bodies may hold anything, other messages too. */
const input = fc.oneof(
  typed(4, bytes(7)),
  typed(5, bytes(5)),
  fc.integer({ min: 0, max: 200 }).chain(length =>
    typed(
      6,
      bytes(length).map(text => Buffer.concat([Buffer.alloc(3), i32(length), text])),
    ),
  ),
  fc.integer({ min: 1, max: 200 }).chain(length =>
    typed(
      6,
      bytes(length).map(text => Buffer.concat([Buffer.alloc(3), i32(-length), text])),
    ),
  ),
  typed(250, bytes(3)),
  fc.integer({ min: 0, max: 5 }).chain(count =>
    typed(
      251,
      bytes(16 * count).map(screens => Buffer.concat([Buffer.from([0, 4, 0, 3, 0, count, 0]), screens])),
    ),
  ),
  typed(
    255,
    bytes(10).map(rest => Buffer.concat([Buffer.from([0]), rest])),
  ),
  typed(
    255,
    bytes(6).map(rest => Buffer.concat([Buffer.from([1, 0, 2]), rest])),
  ),
)
const message = fc.oneof(
  harmless.map(bytes => ({ bytes, acts: false })),
  input.map(bytes => ({ bytes, acts: true })),
)

/** Where a stream is cut: lengths of its pieces, used over and over. */
const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 })
const cut = (data: Buffer, lengths: readonly number[]): Buffer[] => {
  const pieces: Buffer[] = []
  for (let at = 0, n = 0; at < data.length; n += 1) {
    const length = lengths[n % lengths.length] ?? 1
    pieces.push(data.subarray(at, at + length))
    at += length
  }
  return pieces
}

/** What passes until the stream ends, or cannot be followed. */
const passedOf = (mayControl: boolean, pieces: readonly Buffer[]) => {
  const passed: Buffer[] = []
  let uses = 0
  const filter = createRfbFilter({ mayControl, onUse: () => (uses += 1) })
  try {
    for (const piece of pieces) passed.push(...filter(Buffer.from(piece)).map(part => Buffer.from(part)))
  } catch (error) {
    assert(error instanceof UnknownRfbMessage)
    return { broken: true, passed: Buffer.concat(passed), uses }
  }
  return { broken: false, passed: Buffer.concat(passed), uses }
}

describe('the RFB filter', () => {
  it('passes just what a watcher may send, wherever the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 12 }), cuts, (messages, lengths) => {
        const data = Buffer.concat([greeting, ...messages.map(({ bytes }) => bytes)])
        const expected = Buffer.concat([greeting, ...messages.filter(({ acts }) => !acts).map(({ bytes }) => bytes)])
        const { broken, passed, uses } = passedOf(false, cut(data, lengths))
        assert.deepEqual([broken, uses], [false, 0])
        assert.deepEqual(passed, expected)
      }),
      { numRuns: 400 },
    )
  })

  it('passes everything that a controller sends, byte for byte', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 12 }), cuts, (messages, lengths) => {
        const data = Buffer.concat([greeting, ...messages.map(({ bytes }) => bytes)])
        assert.deepEqual(passedOf(true, cut(data, lengths)).passed, data)
      }),
    )
  })

  it('takes any bytes in the same way however they are cut, and passes no input of a watcher', () => {
    const version = fc.constantFrom(greeting, Buffer.from('RFB 003.003\n\u0001', 'latin1'), Buffer.alloc(0))
    fc.assert(
      fc.property(
        version,
        fc.uint8Array({ maxLength: 300 }),
        fc.boolean(),
        cuts,
        (version, noise, mayControl, lengths) => {
          const data = Buffer.concat([version, Buffer.from(noise)])
          // A byte at a time is the reference: nothing can be held back or passed early.
          const whole = passedOf(mayControl, cut(data, [1]))
          const pieces = passedOf(mayControl, cut(data, lengths))
          assert.deepEqual([pieces.broken, pieces.uses], [whole.broken, whole.uses])
          // A piece in which the stream breaks is lost whole, so what passed of it may be less, never other.
          if (whole.broken) assert.deepEqual(pieces.passed, whole.passed.subarray(0, pieces.passed.length))
          else assert.deepEqual(pieces.passed, whole.passed)
          if (mayControl) assert.deepEqual(whole.passed, data.subarray(0, whole.passed.length))
          else assert.equal(whole.uses, 0)
          assert.equal(passedOf(false, [whole.passed]).uses, 0)
          if (!mayControl) assert.deepEqual(passedOf(false, [whole.passed]).passed, whole.passed)
        },
      ),
      { numRuns: 500 },
    )
  })
})
