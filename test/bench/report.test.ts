import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withSection } from './report.ts'
import { toMarkdown } from './table.ts'

const document = 'before\n<!-- bench scale: begin -->\nold\n<!-- bench scale: end -->\nafter\n'

test("a bench's section takes the place of the one before, and nothing else changes", () => {
  const once = withSection(document, { name: 'scale' }, 'new')
  assert.equal(once, 'before\n<!-- bench scale: begin -->\n\nnew\n\n<!-- bench scale: end -->\nafter\n')
  assert.equal(withSection(once, { name: 'scale' }, 'new'), once)
})

test('a document without a place for it is left alone, and says what is missing', () => {
  assert.throws(() => withSection(document, { name: 'edge' }, 'new'), /<!-- bench edge: begin -->/)
})

test('a table is Markdown whose columns stand below each other', () => {
  const table = { title: 'T', note: 'N.', columns: ['what', 'ms'], rows: [['one', '1.0'], ['another']] }
  assert.equal(
    toMarkdown(table),
    '#### T\n\nN.\n\n| what    |  ms |\n| ------- | --: |\n| one     | 1.0 |\n| another |     |',
  )
})
