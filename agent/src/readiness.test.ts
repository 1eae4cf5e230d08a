import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitUntilReady } from './readiness.ts'

const engine = { waitForExit: () => new Promise<number>(() => {}) }
const never = new AbortController().signal

test('a try that was held back is followed by the next at once, and what it tells is passed on', async () => {
  let now = 0
  const sleep = async (ms: number) => {
    now += ms
  }
  const tried: number[] = []
  // Refuses connections at first, then holds each try back for a second.
  const probe = async () => {
    tried.push(now)
    if (tried.length > 12) now += 1000
    return tried.length < 15 ? { ok: false as const, why: 'status 503' } : { ok: true as const, steps: { boot: 4 } }
  }
  assert.deepEqual(await waitUntilReady(engine, 'c', probe, never, { now: () => now, sleep }), {
    end: 'ready',
    steps: { boot: 4 },
  })
  const gaps = tried.slice(1).map((at, n) => at - (tried[n] ?? 0))
  assert.deepEqual(gaps.slice(0, 3), [20, 30, 45])
  assert.deepEqual(gaps.slice(-4), [250, 250, 1005, 1005])
})

test('an engine that cannot tell of the end of a container does not end the wait, its end does', async () => {
  const silent = {
    waitForExit: async () => {
      throw new Error('the engine is out')
    },
  }
  let tries = 0
  const probe = async () => ({ ok: ++tries > 2, why: 'ECONNREFUSED' }) as { ok: true } | { ok: false; why: string }
  assert.deepEqual(await waitUntilReady(silent, 'c', probe, never), { end: 'ready' })
  const ended = { waitForExit: async () => 7 }
  const down = async () => ({ ok: false as const, why: 'ECONNREFUSED' })
  assert.deepEqual(await waitUntilReady(ended, 'c', down, never), { end: 'exited', exitCode: 7 })
})
