import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Explained } from '../dev/explained.ts'
import { ensureHostsPossible } from './ability.ts'

it('several hosts are refused with one message where there is no Linux, or no root', () => {
  assert.throws(
    () => ensureHostsPossible('linux', false),
    error => error instanceof Explained && /Run it as root, or without --hosts/.test(error.message),
  )
  assert.throws(() => ensureHostsPossible('darwin', true), /as root on Linux/)
  ensureHostsPossible('linux', true)
})
