import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { candidate, demand, occupy } from './candidates.ts'
import { choices, createChooser, inAnyOrder } from './choice.ts'
import { canTake, whyNot } from './score.ts'

const gib = 1024 ** 3
const anyone = () => true
const fleetOf = (count: number) => Array.from({ length: count }, (_, n) => candidate(`h${n}`))

/** The same numbers for the same seed (mulberry32). */
const randomOf = (seed: number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const seeds = fc.integer()
const hosts = fc.array(
  fc.record({
    live: fc.boolean(),
    schedulable: fc.boolean(),
    slots: fc.integer({ min: 0, max: 3 }),
    reservedSlots: fc.integer({ min: 0, max: 3 }),
    reservedMemoryBytes: fc.constantFrom(0, 9 * gib, 9.5 * gib, 10 * gib),
    reservedCpuMillis: fc.constantFrom(0, 9000, 9001),
    gpus: fc.integer({ min: 0, max: 1 }),
    reservedGpus: fc.integer({ min: 0, max: 1 }),
    diskFreeBytes: fc.constantFrom(null, 1, 2 * gib),
    labels: fc.constantFrom<Record<string, string>[]>({}, { zone: 'a' }, { zone: 'b' }),
    images: fc.constantFrom<string[][]>([], ['i']),
  }),
  { maxLength: 80 },
)
const demands = fc.record({
  memoryBytes: fc.constantFrom(gib, 11 * gib),
  cpuMillis: fc.constantFrom(1000, 11_000),
  gpus: fc.integer({ min: 0, max: 1 }),
  require: fc.constantFrom<Record<string, string>[]>({}, { zone: 'a' }, { constructor: 'x' }),
  policy: fc.constantFrom('spread' as const, 'pack' as const),
  image: fc.constantFrom(undefined, 'i'),
})

describe('an order of chance', () => {
  it('has each number once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3000 }), seeds, (count, seed) => {
        const seen = [...inAnyOrder(count, randomOf(seed))]
        assert.deepEqual(
          seen.toSorted((a, b) => a - b),
          Array.from({ length: count }, (_, n) => n),
        )
      }),
    )
  })
})

describe('a choice', () => {
  it('is of hosts that can take it and are open, and there is one where there is such a host', () => {
    fc.assert(
      fc.property(hosts, demands, seeds, fc.nat(5), (facts, need, seed, closed) => {
        const fleet = facts.map((more, n) => candidate(`h${n}`, more))
        const isOpen = (id: string) => Number(id.slice(1)) % 6 !== closed
        const able = fleet.filter(host => whyNot(host, need) === undefined && isOpen(host.id))
        const chosen = createChooser(randomOf(seed)).choose(fleet, need, isOpen)
        for (const host of chosen) assert(able.includes(host), host.id)
        assert.equal(new Set(chosen).size, chosen.length)
        assert.equal(chosen.length > 0, able.length > 0)
        assert(chosen.length <= 2 * choices)
      }),
      { numRuns: 500 },
    )
  })

  it('finds the only host that does among ten thousand', () => {
    const fleet = fleetOf(10_000)
    fleet[7777] = candidate('rare', { labels: { zone: 'far' } })
    for (const policy of ['spread', 'pack'] as const)
      for (let seed = 0; seed < 20; seed++) {
        const chosen = createChooser(randomOf(seed)).choose(fleet, demand({ require: { zone: 'far' }, policy }), anyone)
        assert.deepEqual(
          chosen.map(({ id }) => id),
          ['rare'],
        )
      }
  })

  it('remembers what it has looked for long, and looks again once that is full', () => {
    const rare = { labels: { zone: 'far' }, slots: 1 }
    const fleet = fleetOf(3000).map((host, n) => (n % 50 === 0 ? candidate(host.id, rare) : host))
    let asked = 0
    const chooser = createChooser(randomOf(1))
    const taken = new Set<string>()
    for (let n = 0; n < 60; n++) {
      const need = demand({ require: { zone: 'far' } })
      const [host] = chooser.choose(fleet, need, id => {
        asked += 1
        return !taken.has(id)
      })
      assert(host, `only ${n} of 60 were found`)
      occupy(host, need)
      taken.add(host.id)
    }
    assert.equal(taken.size, 60)
    assert(asked < 60 * choices, `${asked} hosts were asked`)
    assert.deepEqual(chooser.choose(fleet, demand({ require: { zone: 'far' } }), anyone), [])
  })

  it('finds the last slot of a full fleet', () => {
    const fleet = fleetOf(10_000).map(host => Object.assign(host, { reservedSlots: 10 }))
    Object.assign(fleet[1234] ?? assert.fail(), { reservedSlots: 9 })
    assert.equal(createChooser().choose(fleet, demand(), anyone)[0]?.id, 'h1234')
  })

  it('packs: as many hosts are used as it takes, and no more', () => {
    const fleet = fleetOf(1000)
    const need = demand({ policy: 'pack' })
    const chooser = createChooser()
    for (let n = 0; n < 100; n++) occupy(chooser.choose(fleet, need, anyone)[0] ?? assert.fail(), need)
    assert.equal(fleet.filter(host => host.reservedSlots > 0).length, 10)
  })

  it('packs onto a host that others have begun to fill, by the next reading', () => {
    const need = demand({ policy: 'pack' })
    const chooser = createChooser()
    chooser.choose(fleetOf(1000), need, anyone)
    const later = fleetOf(1000)
    occupy(later[500] ?? assert.fail(), need)
    assert.equal(chooser.choose(later, need, anyone)[0]?.id, 'h500')
  })

  it('spreads: no host has much more than another', () => {
    const fleet = fleetOf(200)
    const chooser = createChooser(randomOf(1))
    for (let n = 0; n < 1000; n++) occupy(chooser.choose(fleet, demand(), anyone)[0] ?? assert.fail(), demand())
    const taken = fleet.map(host => host.reservedSlots)
    assert(Math.max(...taken) - Math.min(...taken) <= 3, `${Math.min(...taken)} to ${Math.max(...taken)}`)
  })

  it('is another one for another gateway that knows the same', () => {
    for (const policy of ['spread', 'pack'] as const)
      for (const count of [20, 1000]) {
        const fleet = fleetOf(count)
        const first = Array.from({ length: 40 }, () => createChooser().choose(fleet, demand({ policy }), anyone)[0]?.id)
        assert(new Set(first).size > 10, `${new Set(first).size} of ${count}`)
      }
  })

  it('is a host that has the image, though few have it', () => {
    const fleet = fleetOf(10_000)
    for (let n = 0; n < 10_000; n += 200) fleet[n] = candidate(`h${n}`, { images: ['i'] })
    for (let seed = 0; seed < 20; seed++)
      assert.deepEqual(createChooser(randomOf(seed)).choose(fleet, demand({ image: 'i' }), anyone)[0]?.images, ['i'])
  })

  it('leaves hosts with GPUs to those who need one', () => {
    const fleet = fleetOf(1000).map((host, n) => Object.assign(host, { gpus: n % 50 === 0 ? 0 : 4 }))
    for (let seed = 0; seed < 20; seed++)
      assert.equal(createChooser(randomOf(seed)).choose(fleet, demand(), anyone)[0]?.gpus, 0)
  })
})

describe('whether a host can take it', () => {
  it('is the same asked shortly or for a reason', () => {
    fc.assert(
      fc.property(hosts, demands, (facts, need) => {
        for (const [n, more] of facts.entries()) {
          const host = candidate(`h${n}`, more)
          assert.equal(canTake(host, need), whyNot(host, need) === undefined)
        }
      }),
    )
  })
})
