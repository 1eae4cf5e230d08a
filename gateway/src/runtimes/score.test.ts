import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { HostView } from '@porthole/db'
import { type Demand, scoreOf, whyNot } from './score.ts'

const gib = 1024 ** 3
const hostOf = (more: Partial<HostView> = {}): HostView => ({
  id: 'h',
  name: 'h',
  url: 'http://127.0.0.1:1',
  publicKey: 'h',
  certificate: null,
  schedulable: true,
  memoryBytes: 16 * gib,
  cpuMillis: 8000,
  slots: 16,
  gpus: 0,
  reservedMemoryBytes: 0,
  reservedCpuMillis: 0,
  reservedSlots: 0,
  reservedGpus: 0,
  load: 0,
  diskFreeBytes: null,
  engineVersion: '1',
  images: [],
  labels: { arch: 'amd64', zone: 'a' },
  createdAt: new Date(0),
  lastSeenAt: new Date(0),
  drainUntil: null,
  removedAt: null,
  live: true,
  lost: false,
  ...more,
})
const need: Demand = { memoryBytes: gib, cpuMillis: 100, gpus: 0, require: {}, policy: 'spread', image: undefined }

describe('a host', () => {
  it('with room takes it', () => assert.equal(whyNot(hostOf(), need), undefined))

  const cases: [string, Partial<HostView>, Partial<Demand>, RegExp, boolean][] = [
    ['that is silent', { live: false }, {}, /silent/, false],
    ['that is silent, and would be too small', { live: false }, { memoryBytes: 17 * gib }, /memory in all/, true],
    ['that has been silent until it was lost', { live: false, lost: true }, {}, /silent/, true],
    ['that never reported', { live: false, lastSeenAt: null }, {}, /not reported/, false],
    ['that is cordoned', { schedulable: false }, {}, /cordoned/, true],
    ['without a label that is asked for', {}, { require: { gpu: 'a100' } }, /do not have gpu=a100/, true],
    ['of another zone', {}, { require: { zone: 'b' } }, /do not have zone=b/, true],
    ['whose labels have no such own name', {}, { require: { constructor: 'x' } }, /do not have constructor=x/, true],
    ['that is too small', {}, { memoryBytes: 17 * gib }, /16384 MiB of memory in all/, true],
    ['with too few CPUs', {}, { cpuMillis: 9000 }, /8 CPUs in all/, true],
    ['without a GPU', {}, { gpus: 1 }, /0 GPUs in all/, true],
    ['whose memory is taken', { reservedMemoryBytes: 15.5 * gib }, {}, /512 MiB of memory are free/, false],
    ['whose CPUs are taken', { reservedCpuMillis: 7950 }, {}, /0.05 CPUs are free/, false],
    ['whose slots are taken', { reservedSlots: 16 }, {}, /all 16 slots/, false],
    ['whose GPUs are taken', { gpus: 1, reservedGpus: 1 }, { gpus: 1 }, /0 GPUs are free/, false],
    ['whose disk is full', { diskFreeBytes: gib - 1 }, {}, /disk is full: 1023 MiB/, false],
  ]
  for (const [what, host, more, why, never] of cases)
    it(`${what} says so, and whether waiting helps`, () => {
      const reason = whyNot(hostOf(host), { ...need, ...more })
      assert.match(reason?.why ?? '', why)
      assert.equal(reason?.never, never)
    })
})

describe('the better host', () => {
  const fuller = { reservedMemoryBytes: 8 * gib }
  const better = (a: Partial<HostView>, b: Partial<HostView>, more: Partial<Demand> = {}) =>
    assert(scoreOf(hostOf(a), { ...need, ...more }) > scoreOf(hostOf(b), { ...need, ...more }))

  it('is the emptier one, to spread', () => better({}, fuller))
  it('is the fuller one, to pack', () => better(fuller, {}, { policy: 'pack' }))
  it('is decided by memory before CPU', () => better({ reservedCpuMillis: 4000 }, fuller))
  it('has the image', () => better({ reservedMemoryBytes: 2 * gib, images: ['i'] }, {}, { image: 'i' }))
  it('is one without GPUs for what needs none', () => better(fuller, { gpus: 4 }))
})
