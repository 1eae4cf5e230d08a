import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createUse } from './use.ts'

test('unused time counts from the last use, and from the start before any', () => {
  let now = 100
  const use = createUse(() => now)
  now = 350
  assert.equal(use.unusedMs(), 250)
  use.note()
  now = 351.9
  assert.equal(use.unusedMs(), 1)
})

test('what lasts is use until the last of it is over', () => {
  let now = 0
  const use = createUse(() => now)
  const first = use.begin()
  const second = use.begin()
  now = 900
  first()
  first()
  now = 1000
  assert.equal(use.unusedMs(), 0)
  second()
  now = 1007
  assert.equal(use.unusedMs(), 7)
})
