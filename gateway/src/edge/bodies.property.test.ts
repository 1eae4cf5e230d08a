import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { isDeeperThan } from './bodies.ts'

const depthOf = (value: unknown): number =>
  typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0

it('the depth of JSON is told by its brackets, and by none that stand in strings', () => {
  const text = fc.oneof(fc.string(), fc.constantFrom('[[[', '{"a":', '\\', '"', '\\"[', ']]'))
  const { value } = fc.letrec(tie => ({
    value: fc.oneof(
      { maxDepth: 6 },
      text,
      fc.integer(),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(text, tie('value'), { maxKeys: 3 }),
    ),
  }))
  fc.assert(
    fc.property(value, fc.boolean(), (value, isSpread) => {
      const written = JSON.stringify(value, null, isSpread ? 1 : 0)
      const depth = depthOf(JSON.parse(written))
      assert.equal(isDeeperThan(written, depth), false)
      if (depth > 0) assert.equal(isDeeperThan(written, depth - 1), true)
    }),
    { numRuns: 1000 },
  )
})
