import type { Candidate, Demand } from './score.ts'

const gib = 1024 ** 3

/** A live host with ten slots of a gibibyte, for tests. */
export const candidate = (id: string, more: Partial<Candidate> = {}): Candidate => ({
  id,
  name: id,
  live: true,
  lost: false,
  schedulable: true,
  memoryBytes: 10 * gib,
  cpuMillis: 10_000,
  slots: 10,
  gpus: 0,
  reservedMemoryBytes: 0,
  reservedCpuMillis: 0,
  reservedSlots: 0,
  reservedGpus: 0,
  diskFreeBytes: null,
  labels: {},
  images: [],
  lastSeenAt: true,
  ...more,
})

/** One slot of it. */
export const demand = (more: Partial<Demand> = {}): Demand => ({
  memoryBytes: gib,
  cpuMillis: 1000,
  gpus: 0,
  require: {},
  policy: 'spread',
  image: undefined,
  ...more,
})

/** Takes one slot of it, as a reservation does. */
export const occupy = (host: Candidate, need: Demand): void => {
  host.reservedMemoryBytes += need.memoryBytes
  host.reservedCpuMillis += need.cpuMillis
  host.reservedGpus += need.gpus
  host.reservedSlots += 1
}
