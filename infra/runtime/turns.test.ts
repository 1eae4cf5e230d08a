import assert from 'node:assert/strict'
import test from 'node:test'
import { createTurns } from './turns.ts'

const { signal } = new AbortController()

test('callers go one at a time and in order', async () => {
  const turns = createTurns(2)
  const order: number[] = []
  const first = await turns.take(signal)
  const take = async (number: number) => {
    const leave = await turns.take(signal)
    order.push(number)
    return leave
  }
  const second = take(2)
  const third = take(3)
  first?.()
  ;(await second)?.()
  ;(await third)?.()
  assert.deepEqual(order, [2, 3])
  assert.ok(await turns.take(signal))
})

test('more than may wait are turned away', async () => {
  const turns = createTurns(1)
  await turns.take(signal)
  const waiting = turns.take(AbortSignal.abort(new Error('unused')))
  waiting.catch(() => {})
  assert.equal(await turns.take(signal), undefined)
})

test('a caller who goes away while waiting leaves its place to the next', async () => {
  const turns = createTurns(2)
  const first = await turns.take(signal)
  const gone = new AbortController()
  const second = turns.take(gone.signal)
  const third = turns.take(signal)
  gone.abort(new Error('gone'))
  await assert.rejects(second, /gone/)
  first?.()
  assert.ok(await third)
})

test('leaving twice lets only one in', async () => {
  const turns = createTurns(2)
  const first = await turns.take(signal)
  const second = turns.take(signal)
  let thirdIn = false
  turns.take(signal).then(() => (thirdIn = true))
  first?.()
  first?.()
  await second
  await Promise.resolve()
  assert.equal(thirdIn, false)
})
