import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isValid } from 'ulid'
import { createRequestIds } from './request-ids.ts'

test('requests have ids of their own that sort by time, past what is fetched of randomness at once', () => {
  let now = 1_700_000_000_000
  const next = createRequestIds(() => now++)
  const ids = Array.from({ length: 1000 }, next)
  assert.deepEqual(ids.toSorted(), ids)
  assert(ids.every(isValid))
  // The part that is not the time.
  assert.equal(new Set(ids.map(id => id.slice(10))).size, 1000)
})
