import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { backOff, keep, type Part } from './supervise.ts'

type Fake = Part & { end(): void }

function fakePart(pid: number): Fake {
  const { promise, resolve } = Promise.withResolvers<{ code: number | null; signal: null }>()
  return { pid, ended: promise, end: () => resolve({ code: 1, signal: null }), stop: async () => {} }
}

describe('a part that is kept running', () => {
  it('is started again when it ends, and the change is told', async () => {
    const signal = new AbortController()
    const started: Fake[] = []
    const kept = await keep<Fake>({
      name: 'The agent',
      signal: signal.signal,
      backOffMs: () => 0,
      start: async () => {
        const part = fakePart(started.length + 1)
        started.push(part)
        return part
      },
    })
    const told: string[] = []
    const changed = Promise.withResolvers<void>()
    const watch = kept.watch({ tell: text => told.push(text), onChange: changed.resolve, signal: signal.signal })
    started[0]?.end()
    await changed.promise
    assert.equal(kept.current().pid, 2)
    assert.deepEqual(told, ['The agent ended (exit code 1); starting it again (1 of 5).'])
    signal.abort()
    await watch
  })

  it('is given up after five starts that did not help', async () => {
    let starts = 0
    const kept = await keep<Fake>({
      name: 'The gateway',
      signal: AbortSignal.timeout(10_000),
      backOffMs: () => 0,
      start: async () => {
        starts += 1
        if (starts > 1) throw new Error('the port is taken')
        return fakePart(1)
      },
    })
    kept.current().end()
    const watch = kept.watch({ tell: () => {}, onChange: () => {}, signal: AbortSignal.timeout(10_000) })
    await assert.rejects(watch, /The gateway does not stay up.*the port is taken/)
    assert.equal(starts, 6)
  })

  it('waits longer each time, up to 8 s', () => {
    assert.deepEqual([1, 2, 3, 4, 5, 9].map(backOff), [500, 1_000, 2_000, 4_000, 8_000, 8_000])
  })
})
