import assert from 'node:assert/strict'
import { test } from 'node:test'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { Roster, type RosterPlace } from './roster.ts'

test('holds exactly what has entered and not left, whatever the order', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20)), steps => {
      const roster = new Roster<number>()
      const wanted = new Set<number>()
      const places: RosterPlace<number>[] = []
      for (const [at, step] of steps.entries()) {
        const place = step % 3 === 0 ? undefined : places[step % (places.length || 1)]
        if (place) assert.equal(roster.leave(place), wanted.delete(place.thing))
        else {
          places.push(roster.enter(at))
          wanted.add(at)
        }
        assert.equal(roster.size, wanted.size)
        assert.deepEqual(
          roster.all().sort((a, b) => a - b),
          [...wanted].sort((a, b) => a - b),
        )
        for (const one of places) assert.equal(roster.has(one), wanted.has(one.thing))
      }
    }),
  )
})

test('what has left does not survive a minor collection', () => {
  setFlagsFromString('--expose-gc')
  const collect: (options: { type: 'minor' | 'major' }) => void = runInNewContext('gc')
  const oldSpace = () => getHeapSpaceStatistics().find(space => space.space_name === 'old_space')?.space_used_size ?? 0
  const roster = new Roster<number[]>()
  const places: RosterPlace<number[]>[] = []
  const churn = (count: number) => {
    for (let n = 0; n < count; n += 1) {
      places.push(roster.enter(Array.from({ length: 128 }, () => n)))
      if (places.length > 64) roster.leave(places.shift() ?? assert.fail())
      if (n % 1000 === 0) collect({ type: 'minor' })
    }
  }
  churn(5000)
  // Makes all that there is old, as now and then happens by itself.
  collect({ type: 'major' })
  const before = oldSpace()
  churn(20_000)
  // Of 20 MB; with a Set all of it.
  assert.ok(oldSpace() - before < 2_000_000, `${oldSpace() - before} bytes have become old`)
})
