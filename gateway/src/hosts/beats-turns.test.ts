import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TurnsTaken, takeTurns } from './beats-turns.ts'

test('so many work at a time, the others in the order in which they came, and no more wait than may', async () => {
  const inTurn = takeTurns(2, 2)
  const begun: number[] = []
  const ends = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
  const work = ends.map(({ promise }, n) =>
    inTurn(async () => {
      begun.push(n)
      await promise
      return n
    }),
  )
  assert.deepEqual(begun, [0, 1])
  await assert.rejects(
    inTurn(async () => 9),
    TurnsTaken,
  )
  ends[1]?.resolve()
  await work[1]
  await Promise.resolve()
  assert.deepEqual(begun, [0, 1, 2])
  // One that fails hands its place on, too.
  ends[2]?.reject(new Error('held'))
  await assert.rejects(work[2] ?? assert.fail(), /held/)
  await Promise.resolve()
  assert.deepEqual(begun, [0, 1, 2, 3])
  ends[0]?.resolve()
  ends[3]?.resolve()
  assert.deepEqual(await Promise.all([work[0], work[3]]), [0, 3])
  assert.equal(await inTurn(async () => 5), 5)
})
