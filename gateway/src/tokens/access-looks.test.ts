import assert from 'node:assert/strict'
import { test } from 'node:test'
import { oneAndNext } from './access-looks.ts'

/** Looks that end when they are told to. */
const slowLooks = () => {
  const open: (() => void)[] = []
  let begun = 0
  let atOnce = 0
  const looks = oneAndNext(async () => {
    begun += 1
    atOnce += 1
    assert.equal(atOnce, 1)
    const { promise, resolve } = Promise.withResolvers<void>()
    open.push(resolve)
    await promise
    atOnce -= 1
  })
  const end = async () => {
    open.shift()?.()
    await new Promise(setImmediate)
  }
  return { ...looks, end, begun: () => begun }
}

test('however many ask while one look is under way, one more follows it', async () => {
  const { ask, end, begun } = slowLooks()
  for (let n = 0; n < 1000; n++) ask()
  assert.equal(begun(), 1)
  await end()
  assert.equal(begun(), 2)
  await end()
  assert.equal(begun(), 2)
  ask()
  assert.equal(begun(), 3)
  await end()
})

test('none begins after the end, which waits for the one under way', async () => {
  const { ask, end, close, begun } = slowLooks()
  ask()
  ask()
  let isClosed = false
  const closing = close().then(() => {
    isClosed = true
  })
  await new Promise(setImmediate)
  assert.equal(isClosed, false)
  await end()
  await closing
  ask()
  assert.equal(begun(), 1)
})
