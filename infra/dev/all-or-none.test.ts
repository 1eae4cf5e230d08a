import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { allOrNone, eachOrNone } from './all-or-none.ts'

const { signal } = new AbortController()

describe('pieces of work side by side', () => {
  it('give what each of them gives', async () => {
    assert.deepEqual(await eachOrNone(signal, () => [1, 2, 3].map(async n => n * 2)), [2, 4, 6])
    assert.deepEqual(await allOrNone(signal, () => [Promise.resolve('a'), Promise.resolve(1)]), ['a', 1])
  })

  it('are aborted and awaited when one fails, and its failure is told', async () => {
    const ended: number[] = []
    const patient = async (n: number, ends: AbortSignal) => {
      await once(ends, 'abort')
      ended.push(n)
      throw ends.reason
    }
    const failing = async () => {
      throw new Error('the second one')
    }
    const working = eachOrNone(signal, ends => [patient(1, ends), failing(), patient(3, ends)])
    await assert.rejects(working, /the second one/)
    assert.deepEqual(ended, [1, 3])
  })
})
