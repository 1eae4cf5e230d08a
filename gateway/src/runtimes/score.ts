import type { HostView, NewRuntime, PlacementPolicy } from '@porthole/db'

/** What a runtime takes of its host, and what it asks of it. */
export type Demand = {
  memoryBytes: number
  cpuMillis: number
  gpus: number
  /** Labels that the host must have. */
  require: Readonly<Record<string, string>>
  policy: PlacementPolicy
  /** Better where this image is already; undefined: the host's own default. */
  image: string | undefined
}

/** What a choice needs to know of a host. */
export type Candidate = Pick<
  HostView,
  | 'id'
  | 'name'
  | 'live'
  | 'lost'
  | 'schedulable'
  | 'memoryBytes'
  | 'cpuMillis'
  | 'slots'
  | 'gpus'
  | 'reservedMemoryBytes'
  | 'reservedCpuMillis'
  | 'reservedSlots'
  | 'reservedGpus'
  | 'diskFreeBytes'
  | 'labels'
  | 'images'
> & {
  /** Null before its first heartbeat. */
  lastSeenAt: Date | true | null
}

/** Why a host does not do. `never`: not by waiting for others to leave, either. */
export type Reason = { why: string; never: boolean }

/** Below this a host takes nothing more: images, logs and profiles need room to grow. */
export const leastDiskBytes = 1024 ** 3

const toMib = (bytes: number) => Math.floor(bytes / 1024 ** 2)

/** Why a host cannot take a runtime; undefined when it can. */
export const whyNot = (host: Candidate, need: Demand): Reason | undefined => {
  const never = (why: string): Reason => ({ why, never: true })
  const full = (why: string): Reason => ({ why, never: false })
  const silent = 'it has been silent for 20 s or more'
  if (host.lost) return never(silent)
  // It has only just joined: who may wait does.
  if (!host.live && !host.lastSeenAt) return full('it has not reported yet')
  if (!host.schedulable) return never('it is cordoned')
  for (const [name, value] of Object.entries(need.require))
    if (!Object.hasOwn(host.labels, name) || host.labels[name] !== value)
      return never(`its labels do not have ${name}=${value}`)
  if (host.memoryBytes < need.memoryBytes)
    return never(`it has ${toMib(host.memoryBytes)} MiB of memory in all, ${toMib(need.memoryBytes)} are needed`)
  if (host.cpuMillis < need.cpuMillis)
    return never(`it has ${host.cpuMillis / 1000} CPUs in all, ${need.cpuMillis / 1000} are needed`)
  if (host.gpus < need.gpus) return never(`it has ${host.gpus} GPUs in all, ${need.gpus} are needed`)
  if (host.slots < 1) return never('it has no slots')
  // It may be back in a moment: after an outage of ours all are silent, until each has reported.
  if (!host.live) return full(silent)
  if (host.diskFreeBytes !== null && host.diskFreeBytes < leastDiskBytes)
    return full(`its disk is full: ${toMib(host.diskFreeBytes)} MiB are free`)
  if (host.reservedSlots + 1 > host.slots) return full(`all ${host.slots} slots are taken`)
  const memory = host.memoryBytes - host.reservedMemoryBytes
  if (memory < need.memoryBytes)
    return full(`${toMib(memory)} MiB of memory are free, ${toMib(need.memoryBytes)} are needed`)
  const cpu = host.cpuMillis - host.reservedCpuMillis
  if (cpu < need.cpuMillis) return full(`${cpu / 1000} CPUs are free, ${need.cpuMillis / 1000} are needed`)
  const gpus = host.gpus - host.reservedGpus
  if (gpus < need.gpus) return full(`${gpus} GPUs are free, ${need.gpus} are needed`)
  return undefined
}

const hasLabels = ({ labels }: Candidate, require: Demand['require']): boolean => {
  for (const name in require) if (!Object.hasOwn(labels, name) || labels[name] !== require[name]) return false
  return true
}

/** As `whyNot`, for those who look at thousands and do not ask why. */
export const canTake = (host: Candidate, need: Demand): boolean =>
  host.live &&
  host.schedulable &&
  host.reservedSlots + 1 <= host.slots &&
  host.reservedMemoryBytes + need.memoryBytes <= host.memoryBytes &&
  host.reservedCpuMillis + need.cpuMillis <= host.cpuMillis &&
  host.reservedGpus + need.gpus <= host.gpus &&
  (host.diskFreeBytes === null || host.diskFreeBytes >= leastDiskBytes) &&
  hasLabels(host, need.require)

const share = (used: number, all: number) => Math.min(1, used / Math.max(1, all))

/**
 * How good a place a host is, higher is better. Memory counts most, then CPU, then slots: memory cannot be shared when
 * it runs out. A host that has the image saves its pull, which is worth more than a few per cent of room. A host with
 * GPUs is kept for what needs one.
 */
export const scoreOf = (host: Candidate, need: Demand): number => {
  const used =
    0.6 * share(host.reservedMemoryBytes + need.memoryBytes, host.memoryBytes) +
    0.3 * share(host.reservedCpuMillis + need.cpuMillis, host.cpuMillis) +
    0.1 * share(host.reservedSlots + 1, host.slots)
  const fit = need.policy === 'pack' ? used : 1 - used
  const image = need.image !== undefined && host.images.includes(need.image) ? 0.2 : 0
  const gpus = need.gpus === 0 && host.gpus > 0 ? -0.5 : 0
  return fit + image + gpus
}

type Asked = Pick<NewRuntime, 'needMemoryBytes' | 'needCpuMillis' | 'needGpus' | 'start'>

export const demandOf = (row: Asked, policy: PlacementPolicy, image: string | undefined): Demand => ({
  memoryBytes: row.needMemoryBytes,
  cpuMillis: row.needCpuMillis,
  gpus: row.needGpus,
  require: row.start.require ?? {},
  policy: row.start.policy ?? policy,
  image,
})
