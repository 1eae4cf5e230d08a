import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createQuality, levels } from './quality.js'

/** A link whose speed, and clock, are in the test's hands. */
const stage = () => {
  const world = { now: 0 }
  const applied: number[] = []
  const quality = createQuality({ now: () => world.now, apply: ({ quality }) => applied.push(quality) })
  /** A large update, in full pieces and a rest, at so many bytes in a millisecond. */
  const update = (rate: number, bytes = 300 * 1024) => {
    for (let left = bytes; left > 0; left -= 64 * 1024) {
      const piece = Math.min(left, 64 * 1024)
      world.now += piece / rate
      quality.received(piece)
    }
  }
  /** Updates for so long, as often as the link lets them. */
  const watch = (rate: number, ms: number) => {
    for (const until = world.now + ms; world.now < until; world.now += 30) update(rate)
  }
  const now = () => quality.level.quality
  return { quality, world, applied, update, watch, now }
}

test('a link that is fast enough keeps the best picture', () => {
  const { applied, watch } = stage()
  watch(5000, 60_000)
  assert.deepEqual(applied, [])
})

test('a slow link gets a picture it can carry, within two large updates', () => {
  for (const [rate, quality] of [
    [600, 4],
    [200, 2],
    [40, 0],
  ] as const) {
    const { update, now } = stage()
    update(rate)
    update(rate)
    assert.equal(now(), quality, `${rate} kB/s`)
  }
})

test('a screen that shows little is not taken for a slow link', () => {
  const { quality, world, applied } = stage()
  for (let n = 0; n < 500; n += 1) {
    world.now += 400
    quality.received(n % 10 === 0 ? 30_000 : 200)
  }
  assert.deepEqual(applied, [])
})

test('a pause after a large update is not taken for a slow link', () => {
  const { world, applied, update } = stage()
  for (let n = 0; n < 20; n += 1) {
    update(5000, 128 * 1024)
    world.now += 60_000
  }
  assert.deepEqual(applied, [])
})

test('when the link has become fast, the picture becomes good again, step by step', () => {
  const { watch, now, applied } = stage()
  watch(40, 20_000)
  assert.equal(now(), 0)
  watch(5000, 100_000)
  assert.equal(now(), 6)
  assert.deepEqual(applied.slice(-3), [2, 4, 6])
})

test('a better picture that was tried in vain is tried less and less often', () => {
  const { quality, world, applied } = stage()
  // So slow, and so little else to show, that what is tried shows at once.
  const patiences: number[] = []
  let raisedAt = 0
  for (let n = 0; n < 4000; n += 1) {
    const before = applied.length
    world.now += 300
    // Small enough to tell nothing while the picture is coarse; large once it is finer.
    for (let piece = 0; quality.level.quality > 0 && piece < 4; piece += 1) {
      quality.received(64 * 1024)
      world.now += 1500
    }
    quality.received(500)
    if (applied.length > before && applied.at(-1) === levels.at(-2)?.quality) {
      patiences.push(world.now - raisedAt)
      raisedAt = world.now
    }
  }
  const [first = 0, ...later] = patiences.slice(1)
  assert(first < 60_000)
  assert(later.length >= 2)
  assert((later.at(-1) ?? 0) > 3 * first, patiences.join(' '))
})

test('a new connection is not judged by the last one’s end', () => {
  const { quality, world, applied } = stage()
  quality.received(64 * 1024)
  for (let n = 0; n < 4; n += 1) {
    world.now += 3000
    quality.begin()
    quality.received(64 * 1024)
  }
  assert.deepEqual(applied, [])
})
