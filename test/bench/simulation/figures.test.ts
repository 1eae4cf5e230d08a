import assert from 'node:assert/strict'
import { test } from 'node:test'
import { collectTimes, median, spread } from './figures.ts'

test('a quantile is right to a twentieth, and the longest is not lost', () => {
  const times = collectTimes()
  for (let ms = 1; ms <= 1000; ms += 1) times.add(ms)
  for (const [share, ms] of [
    [0.5, 500],
    [0.99, 990],
    [1, 1000],
  ] as const)
    assert(Math.abs(times.quantile(share) / ms - 1) < 0.05, `${share}: ${times.quantile(share)}`)
  assert.equal(times.count, 1000)
  assert.equal(collectTimes().quantile(0.5), Number.NaN)
})

test('a median is the middle one, with the least and the most beside it', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.equal(spread([3.04, 1, 2]), '2.0 (1.0–3.0)')
  assert.equal(spread([7], 0), '7')
})
