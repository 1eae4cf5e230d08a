import assert from 'node:assert/strict'
import { it } from 'node:test'
import { shareOf } from './share.ts'

it('hosts on one machine offer together what it has, and start no more at once than it has cores', () => {
  assert.deepEqual(shareOf(1, 8192, 4), { PORTHOLE_MEMORY_RESERVE_MB: '1024', PORTHOLE_STARTS_AT_ONCE: '4' })
  assert.deepEqual(shareOf(4, 9216, 4), { PORTHOLE_MEMORY_RESERVE_MB: '7168', PORTHOLE_STARTS_AT_ONCE: '1' })
  assert.deepEqual(shareOf(3, 512, 2), { PORTHOLE_MEMORY_RESERVE_MB: '512', PORTHOLE_STARTS_AT_ONCE: '1' })
})
