import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { operations, planOf } from './plan.ts'
import { createRandom } from './seed.ts'

const options = { seed: 7, seconds: 600, owners: 4, faults: ['a', 'b', 'c', 'd'] }

describe('a plan', () => {
  it('is the same for the same seed, and another for another', () => {
    assert.deepEqual(planOf(options), planOf(options))
    assert.notDeepEqual(planOf(options).strikes, planOf({ ...options, seed: 8 }).strikes)
  })

  it('has everything that can be asked, and every fault', () => {
    const { owners, strikes } = planOf(options)
    const asked = new Set(owners.flatMap(({ steps }) => steps.map(({ operation }) => operation)))
    assert.deepEqual([...asked].sort(), [...operations].sort())
    assert.deepEqual([...new Set(strikes.map(({ fault }) => fault))].sort(), options.faults)
  })

  it('has two faults at once at most, never the same twice, all of them while it lasts', () => {
    const { strikes, ms } = planOf(options)
    assert(strikes.length > 20)
    for (const { at, fault } of strikes) {
      const under = strikes.filter(other => other.at <= at && other.at + other.for > at)
      assert(under.length <= 2)
      assert.equal(under.filter(other => other.fault === fault).length, 1)
      assert(at < ms)
    }
    assert(strikes.some(({ at }) => strikes.filter(other => other.at <= at && other.at + other.for > at).length === 2))
  })

  it('kills gateways, agents and Postgres first, each with nothing else under way, while a view is open', () => {
    const killed = ['kill a gateway', 'kill an agent', 'kill Postgres']
    for (const seed of [1, 2, 3]) {
      const { strikes, owners } = planOf({ ...options, seed, faults: [...options.faults, ...killed] })
      const first = strikes.slice(0, 3)
      assert.deepEqual(first.map(({ fault }) => fault).sort(), killed.toSorted())
      for (const [n, { at, for: ms }] of first.entries()) assert((strikes[n + 1]?.at ?? 0) > at + ms)
      assert.deepEqual(
        owners[0]?.steps.slice(0, 2).map(({ operation }) => operation),
        ['create', 'watch'],
      )
    }
  })

  it('ends and freezes no browser of the first owner', () => {
    const [first] = planOf(options).owners
    const ends = /delete|stop|start|pause|resume/
    assert.deepEqual(
      first?.steps.filter(({ operation }) => ends.test(operation)),
      [],
    )
  })

  it('begins with a create, for each owner', () => {
    for (const { steps } of planOf(options).owners) assert.equal(steps[0]?.operation, 'create')
  })
})

describe('numbers of a seed', () => {
  it('lie in [0, 1), spread evenly', () => {
    const random = createRandom(1)
    const bins = Array.from({ length: 10 }, () => 0)
    for (let n = 0; n < 10_000; n += 1) {
      const value = random()
      assert(value >= 0 && value < 1)
      bins[Math.floor(value * 10)] = (bins[Math.floor(value * 10)] ?? 0) + 1
    }
    for (const count of bins) assert(count > 850 && count < 1150, `${bins}`)
  })
})
