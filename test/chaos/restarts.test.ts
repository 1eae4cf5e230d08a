import assert from 'node:assert/strict'
import { it } from 'node:test'
import { isOwnDoing } from './deaths.ts'
import type { Entry } from './history.ts'
import { mayBeAsked } from './restarts.ts'

const stop: Entry = { owner: 'ada', operation: 'stop', at: 10_000, ms: 500, outcome: 'ok', status: 200 }

it('an end that was asked for excuses what changes until shortly after it was said to be done', () => {
  assert(mayBeAsked(stop, 12_000))
  assert(!mayBeAsked(stop, 20_000))
  assert(!mayBeAsked({ ...stop, operation: 'drive' }, 12_000))
})

it('one that nobody said was done excuses what changes for as long as somebody may take it over', () => {
  for (const open of [
    { ...stop, status: 202 },
    { ...stop, status: 0, outcome: 'unknown' as const },
  ]) {
    assert(mayBeAsked(open, 60_000))
    assert(!mayBeAsked(open, 200_000))
  }
})

it('a process that ends without being struck or told to has done so by itself', () => {
  for (const exit of [
    { code: 1, signal: null },
    { code: 134, signal: null },
    { code: null, signal: 'SIGSEGV' as const },
  ])
    assert(isOwnDoing(exit), JSON.stringify(exit))
  for (const exit of [
    { code: 0, signal: null },
    { code: null, signal: 'SIGKILL' as const },
    { code: null, signal: 'SIGTERM' as const },
  ])
    assert(!isOwnDoing(exit), JSON.stringify(exit))
})
