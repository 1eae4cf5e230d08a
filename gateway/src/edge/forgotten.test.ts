import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createForgotten } from './forgotten.ts'

test('what was forgotten while it was read is not kept, and everything else is', () => {
  const forgotten = createForgotten()
  forgotten.note('a')
  const { mayKeep, isFresh } = forgotten.begin()
  assert.deepEqual([mayKeep('a'), mayKeep('b'), isFresh()], [true, true, true])
  forgotten.note('b')
  assert.deepEqual([mayKeep('a'), mayKeep('b'), isFresh()], [true, false, false])
  forgotten.note('a')
  assert.deepEqual([mayKeep('a'), forgotten.begin().mayKeep('a')], [false, true])
})

test('of what was read while more were forgotten than are told apart, nothing is kept', () => {
  const forgotten = createForgotten(2)
  const { mayKeep } = forgotten.begin()
  for (const id of ['a', 'b']) forgotten.note(id)
  assert.equal(mayKeep('x'), true)
  for (const id of ['c', 'd']) forgotten.note(id)
  assert.equal(mayKeep('x'), false)
  assert.equal(forgotten.begin().mayKeep('x'), true)
})
