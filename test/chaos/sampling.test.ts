import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { doubles, type SampledContainer } from './sampling.ts'

const one: SampledContainer = { name: 'c-aa', runtime: 'rt_A', generation: 2, host: 'h1' }
const whatOf = (containers: SampledContainer[], held: string[] = []) =>
  doubles(containers, host => held.includes(host)).map(({ what }) => what)

describe('containers that run at one moment', () => {
  it('are one for each runtime', () => {
    assert.deepEqual(whatOf([one, { ...one, name: 'c-bb', runtime: 'rt_B', host: 'h2' }]), [])
  })

  it('are wrong when two are of one generation, whatever was struck', () => {
    assert.deepEqual(whatOf([one, { ...one, host: 'h2' }], ['h1', 'h2']), [
      'rt_A has containers on h1 (g2) and h2 (g2) at once',
    ])
  })

  it('may be older on a host that could not be told, and nowhere else', () => {
    const older = { ...one, generation: 1, host: 'h2' }
    assert.deepEqual(whatOf([one, older], ['h2']), [])
    assert.equal(whatOf([one, older], ['h1']).length, 1)
  })
})
