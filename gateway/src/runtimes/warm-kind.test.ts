import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wanted } from '@porthole/db/testing'
import { builtInSpecs, type Spec } from './specs.ts'
import { peakOf } from './warm.ts'
import { warmFor, warmKindOf } from './warm-kind.ts'

const [browser = assert.fail()] = builtInSpecs
const spec: Spec = { ...browser, warm: 1 }
const { need, fingerprint } = warmKindOf(spec)
const usual = {
  ...wanted('alice'),
  ...{ needMemoryBytes: need.memoryBytes, needCpuMillis: need.cpuMillis, needGpus: 0 },
  start: { memoryBytes: spec.recipe.memoryBytes, cpus: spec.recipe.cpus },
}

test('a warm one does for who asks for nothing else, or tells late what it can be told late', () => {
  assert.equal(warmFor(spec, usual, {}), fingerprint)
  assert.equal(warmFor(spec, usual, { OPENAI_API_KEY: 'x', MODEL_DEFAULT: 'm' }), fingerprint)
})

test('a warm one does not do for other limits, a GPU, an environment that was read long ago, or where none is kept', () => {
  const { start } = usual
  const others: ReturnType<typeof warmFor>[] = [
    warmFor(spec, { ...usual, start: { ...start, memoryBytes: 1 } }, {}),
    warmFor(spec, { ...usual, start: { ...start, cpus: 1 } }, {}),
    warmFor(spec, { ...usual, needGpus: 1 }, {}),
    warmFor(spec, usual, { TZ: 'UTC' }),
    warmFor(spec, usual, { OPENAI_API_KEY: 'x', LD_PRELOAD: 'x' }),
    warmFor({ ...spec, warm: 0 }, usual, {}),
  ]
  assert.deepEqual(
    others,
    others.map(() => undefined),
  )
  const { personal, ...recipe } = spec.recipe
  assert.ok(personal)
  assert.equal(warmFor({ ...spec, recipe }, usual, { OPENAI_API_KEY: 'x' }), undefined)
})

test('what is made from another recipe is another kind', () => {
  assert.notEqual(warmKindOf({ ...spec, recipe: { ...spec.recipe, env: { A: 'b' } } }).fingerprint, fingerprint)
})

test('how many came at once is the most within ten seconds', () => {
  const at = (seconds: number) => new Date(1_700_000_000_000 + seconds * 1000)
  assert.equal(peakOf([]), 0)
  assert.equal(peakOf([at(0), at(1), at(2), at(60), at(61), at(120)]), 3)
})
