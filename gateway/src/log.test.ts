import assert from 'node:assert/strict'
import { it } from 'node:test'
import { createLog } from './log.ts'

it('an error of the database is logged with its code, and without what was in the query', () => {
  const lines: string[] = []
  const log = createLog('info', { write: line => void lines.push(line) })
  const cause = Object.assign(new Error('duplicate key'), { code: '23505' })
  const failed = new Error('Failed query: insert into x params: sk-secret', { cause })
  log.error(
    { err: new Error('it did not work', { cause: Object.assign(failed, { query: 'q', params: ['sk-secret'] }) }) },
    'x',
  )
  assert.equal(lines.length, 1)
  assert(!lines[0]?.includes('sk-secret'), lines[0])
  assert.match(lines[0] ?? '', /23505/)
  assert.match(lines[0] ?? '', /it did not work/)
})
