import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTurns } from './turns.ts'

test('a tenant has a few things under way, the rest in order, and no more than may wait', async () => {
  const takeTurn = createTurns({ atOnce: 2, waiting: 3 })
  const begun: string[] = []
  const doors = new Map<string, () => void>()
  const work = (name: string) => () => {
    begun.push(name)
    return new Promise<string>(resolve => doors.set(name, () => resolve(name)))
  }
  const all = ['a', 'b', 'c', 'd', 'e'].map(name => takeTurn('t', work(name)))
  await assert.rejects(takeTurn('t', work('f')), { code: 'rate-limited' })
  const other = takeTurn('u', work('u'))
  await new Promise(setImmediate)
  assert.deepEqual(begun, ['a', 'b', 'u'])
  for (const [n, name] of ['a', 'b', 'c', 'd', 'e'].entries()) {
    doors.get(name)?.()
    assert.equal(await all[n], name)
    await new Promise(setImmediate)
  }
  doors.get('u')?.()
  assert.equal(await other, 'u')
  assert.deepEqual(begun, ['a', 'b', 'u', 'c', 'd', 'e'])
})

test('a failure is told to whoever asked, and the next has its turn', async () => {
  const takeTurn = createTurns({ atOnce: 1, waiting: 3 })
  const failing = takeTurn('t', async () => {
    throw new Error('no')
  })
  const next = takeTurn('t', async () => 1)
  await assert.rejects(failing, /no/)
  assert.equal(await next, 1)
})
