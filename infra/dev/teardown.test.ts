import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Progress } from './progress.ts'
import { tearDown } from './teardown.ts'

const silent: Progress = { note: () => {}, step: () => ({ update() {}, done() {}, fail() {}, drop() {} }) }
const never = new AbortController().signal

describe('tearing down', () => {
  it('ends the last started first, and goes on when one fails', async () => {
    const ended: string[] = []
    const ending = (title: string, fails = false) => ({
      title,
      async stop() {
        ended.push(title)
        if (fails) throw new Error('it hangs')
      },
      force: async () => {},
    })
    const failures = await tearDown([ending('Postgres'), ending('Gateway', true), ending('Agent')], silent, never)
    assert.deepEqual(ended, ['Agent', 'Gateway', 'Postgres'])
    assert.deepEqual(failures, ['Gateway: it hangs'])
  })

  it('forces everything that is left, what hangs included, when told to hurry', async () => {
    const force = new AbortController()
    const forced: string[] = []
    const hanging = (title: string) => ({
      title,
      stop: () => {
        force.abort()
        return new Promise<undefined>(() => {})
      },
      force: async () => forced.push(title),
    })
    await tearDown([hanging('Postgres'), hanging('Agent')], silent, force.signal)
    assert.deepEqual(forced.sort(), ['Agent', 'Postgres'])
  })
})
