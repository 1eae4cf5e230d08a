import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { Explained } from './explained.ts'
import { bootstrapTenant } from './stack.ts'

test('a setting that the gateway does not take is told in its words, as something that can be put right', async () => {
  const told = bootstrapTenant({
    root: join(import.meta.dirname, '../..'),
    env: { PORTHOLE_WARM: 'some' },
    databaseUrl: 'postgres://nobody@127.0.0.1:1/nothing',
    publicUrl: 'http://127.0.0.1:1',
    secret: 'a'.repeat(43),
  })
  await assert.rejects(told, error => error instanceof Explained && /^PORTHOLE_WARM must be /.test(error.message))
})
