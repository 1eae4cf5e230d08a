import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { HostFigures, HostTraits } from '@porthole/db'
import { candidate } from './candidates.ts'
import { createSnapshot } from './snapshot.ts'

const figures = (id: string, more: Partial<HostFigures> = {}): HostFigures => {
  const { name, labels, images, lastSeenAt, ...rest } = candidate(id)
  return { ...rest, hasReported: true, traitsDigest: 1, ...more }
}
const traits = (id: string): HostTraits => ({ id, name: `the ${id}`, labels: { of: id }, images: [] })

/** A database whose readings end when the test says so. */
const fleetOf = (...ids: string[]) => {
  const asked: string[][] = []
  const readings: PromiseWithResolvers<void>[] = []
  const script = { hosts: ids.map(id => figures(id)), isHeld: false }
  let time = 0
  const snapshot = createSnapshot(
    {
      figures: async () => {
        const reading = Promise.withResolvers<void>()
        readings.push(reading)
        const seen = script.hosts.map(host => ({ ...host }))
        if (!script.isHeld) reading.resolve()
        await reading.promise
        return seen
      },
      traits: async wanted => {
        asked.push([...wanted])
        return wanted.map(traits)
      },
    },
    () => time,
  )
  const pass = (ms: number) => {
    time += ms
  }
  return { snapshot, script, readings, asked, pass }
}
const settled = () => new Promise(resolve => setImmediate(resolve))
const idsOf = ({ hosts }: { hosts: readonly { id: string }[] }) => hosts.map(({ id }) => id)

describe('a snapshot of the hosts', () => {
  it('is read when it is asked for, and not again within a second', async () => {
    const { snapshot, readings, pass } = fleetOf('a', 'b')
    assert.equal(readings.length, 0)
    assert.deepEqual(idsOf(await snapshot.recent()), ['a', 'b'])
    pass(999)
    await snapshot.recent()
    assert.equal(readings.length, 1)
  })

  it('is told without a reading only while it is fresh', async () => {
    const { snapshot, readings, pass } = fleetOf('a')
    assert.equal(snapshot.known(), undefined)
    await snapshot.recent()
    pass(999)
    assert.deepEqual(idsOf(snapshot.known() ?? assert.fail()), ['a'])
    pass(1)
    assert.equal(snapshot.known(), undefined)
    assert.equal(readings.length, 1)
  })

  it('is read less often where that takes long, and told meanwhile', async () => {
    const { snapshot, script, readings, pass } = fleetOf('a')
    script.isHeld = true
    const first = snapshot.recent()
    pass(100)
    readings[0]?.resolve()
    await first
    pass(1899)
    await snapshot.recent()
    assert.equal(readings.length, 1)
    pass(1)
    assert.equal(snapshot.known(), undefined)
    await snapshot.recent()
    assert.equal(readings.length, 2)
    assert.deepEqual(idsOf(snapshot.known() ?? assert.fail()), ['a'])
    // As old as that, it would be waited for.
    pass(3000)
    assert.equal(snapshot.known(), undefined)
  })

  it('is used while it is read anew, for some seconds', async () => {
    const { snapshot, script, readings, pass } = fleetOf('a')
    await snapshot.recent()
    script.hosts = [figures('a'), figures('b')]
    script.isHeld = true
    pass(1000)
    assert.deepEqual(idsOf(await snapshot.recent()), ['a'])
    await snapshot.recent()
    assert.equal(readings.length, 2)
    readings[1]?.resolve()
    await settled()
    assert.deepEqual(idsOf(await snapshot.recent()), ['a', 'b'])
  })

  it('is waited for for a moment where readings are quick, so that few hosts fill evenly', async () => {
    const { snapshot, script, pass } = fleetOf('a')
    await snapshot.recent()
    script.hosts = [figures('b')]
    pass(1000)
    assert.deepEqual(idsOf(await snapshot.recent()), ['b'])
  })

  it('is waited for when it is older', async () => {
    const { snapshot, script, pass } = fleetOf('a')
    await snapshot.recent()
    script.hosts = [figures('b')]
    pass(5000)
    assert.deepEqual(idsOf(await snapshot.recent()), ['b'])
  })

  it('is fresh by a reading that began after the question, and who asks meanwhile shares the next', async () => {
    const { snapshot, script, readings } = fleetOf('a')
    script.isHeld = true
    const first = snapshot.recent()
    script.hosts = [figures('b')]
    const fresh = [snapshot.fresh(), snapshot.fresh()]
    readings[0]?.resolve()
    assert.deepEqual(idsOf(await first), ['a'])
    await settled()
    assert.equal(readings.length, 2)
    script.hosts = [figures('c')]
    const later = snapshot.fresh()
    readings[1]?.resolve()
    assert.deepEqual((await Promise.all(fresh)).map(idsOf), [['b'], ['b']])
    await settled()
    readings[2]?.resolve()
    assert.deepEqual(idsOf(await later), ['c'])
    assert.equal(readings.length, 3)
  })

  it('says so when it cannot be read, and is read by the next who asks', async () => {
    const { snapshot, script, readings, pass } = fleetOf('a')
    await snapshot.recent()
    script.isHeld = true
    const fresh = snapshot.fresh()
    await settled()
    readings[1]?.reject(new Error('away'))
    await assert.rejects(fresh, /away/)
    pass(2000)
    assert.deepEqual(idsOf(await snapshot.recent()), ['a'])
    readings[2]?.reject(new Error('away'))
    await settled()
    script.isHeld = false
    assert.deepEqual(idsOf(await snapshot.fresh()), ['a'])
  })

  it('asks for names, labels and images only of hosts where they have changed', async () => {
    const { snapshot, script, asked } = fleetOf('a', 'b')
    await snapshot.fresh()
    script.hosts = [figures('a', { reservedSlots: 3 }), figures('b', { traitsDigest: 2 }), figures('c')]
    const { hosts } = await snapshot.fresh()
    assert.deepEqual(asked, [
      ['a', 'b'],
      ['b', 'c'],
    ])
    assert.deepEqual(
      hosts.map(({ name, reservedSlots }) => [name, reservedSlots]),
      [
        ['the a', 3],
        ['the b', 0],
        ['the c', 0],
      ],
    )
  })

  it('knows at once what is reserved and who has refused, until the next reading', async () => {
    const { snapshot } = fleetOf('a', 'b')
    const before = await snapshot.recent()
    snapshot.took('a', { reservedMemoryBytes: 5, reservedCpuMillis: 4, reservedSlots: 3, reservedGpus: 2 })
    snapshot.refuse('b')
    assert.deepEqual([before.hosts[0]?.reservedSlots, before.hosts[0]?.reservedGpus], [3, 2])
    assert.deepEqual([...before.refused], ['b'])
    const { hosts, refused } = await snapshot.fresh()
    assert.equal(hosts[0]?.reservedSlots, 0)
    assert.equal(refused.size, 0)
  })
})
