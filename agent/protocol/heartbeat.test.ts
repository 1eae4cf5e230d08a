import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { heartbeat } from './heartbeat.ts'

const good = {
  capacity: { memoryBytes: 2 ** 40, cpuMillis: 64_000, slots: 50, gpus: 8 },
  load: 0.25,
  engineVersion: '27.3.1',
  images: ['registry.example.com/image:1'],
  labels: { zone: 'a', größe: '𝟛' },
}
const most = 2 ** 31 - 1

describe('a heartbeat', () => {
  it('that can be written is taken', () => {
    for (const more of [
      {},
      { load: 0 },
      { load: 1e6 },
      { capacity: { memoryBytes: 0, cpuMillis: most, slots: most, gpus: most } },
    ])
      assert(heartbeat.safeParse({ ...good, ...more }).success, JSON.stringify(more))
  })

  const capacity = (more: object) => ({ capacity: { ...good.capacity, ...more } })
  const refused: [string, object][] = [
    ['more slots than its column holds', capacity({ slots: most + 1 })],
    ['more CPU than its column holds', capacity({ cpuMillis: most + 1 })],
    ['more GPUs than its column holds', capacity({ gpus: most + 1 })],
    ['more memory than a number holds', capacity({ memoryBytes: 2 ** 60 })],
    ['a load beyond a float', { load: 1e39 }],
    ['a load below a float', { load: 1e-60 }],
    ['a NUL in a label', { labels: { zone: 'a\0' } }],
    ['a NUL in the name of a label', { labels: { 'zo\0ne': 'a' } }],
    ['a NUL in an image', { images: ['a\0'] }],
    ['a NUL in the version', { engineVersion: '\0' }],
    ['half a character in a label', { labels: { zone: '\ud800' } }],
    ['half a character in an image', { images: ['\udc00'] }],
    ['half a character in the version', { engineVersion: '\ud800' }],
    ['too many labels', { labels: Object.fromEntries(Array.from({ length: 257 }, (_, n) => [`l${n}`, 'x'])) }],
  ]
  for (const [what, more] of refused)
    it(`with ${what} is refused`, () => assert(!heartbeat.safeParse({ ...good, ...more }).success))
})
