import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRemovals } from './removals.ts'
import { runtime, silent } from './testing/orders.ts'

const name = { id: runtime, generation: 1 }

const bench = () => {
  const clock = { now: 0 }
  const removed: string[] = []
  const discard = async (id: string, generation: number) => {
    removed.push(`${id} ${generation}`)
    return true
  }
  return { clock, removed, removals: createRemovals({ runtimes: { discard }, log: silent, now: () => clock.now }) }
}

test('what is over is removed at once', async () => {
  const { removals, removed } = bench()
  await removals.take({ remove: [name] })
  assert.deepEqual(removed, [`${runtime} 1`])
})

test('what nobody knows is removed after a minute of being named so, and not before', async () => {
  const { removals, removed, clock } = bench()
  for (const at of [0, 30_000, 59_999]) {
    clock.now = at
    await removals.take({ unknown: [name] })
    assert.deepEqual(removed, [])
  }
  clock.now = 60_000
  await removals.take({ unknown: [name] })
  assert.deepEqual(removed, [`${runtime} 1`])
})

test('what was known in between begins its minute anew, and so does another generation', async () => {
  const { removals, removed, clock } = bench()
  await removals.take({ unknown: [name] })
  clock.now = 50_000
  await removals.take({ unknown: [] })
  clock.now = 61_000
  await removals.take({ unknown: [name, { ...name, generation: 2 }] })
  assert.deepEqual(removed, [])
})

test('one that can not be removed does not keep the others', async () => {
  const removed: number[] = []
  const discard = async (_id: string, generation: number) => {
    if (generation === 1) throw new Error('engine away')
    removed.push(generation)
    return true
  }
  const removals = createRemovals({ runtimes: { discard }, log: silent })
  await removals.take({ remove: [name, { ...name, generation: 2 }] })
  assert.deepEqual(removed, [2])
})
