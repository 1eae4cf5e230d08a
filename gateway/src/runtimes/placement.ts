import { type Db, findHost, findProfile, type HostView, listHosts, type RuntimeRow, startOn } from '@porthole/db'
import { Problem } from '../problem.ts'

/** Hosts looked at per placement. More come with scored sampling. */
const maxHosts = 1000

/** Why a host cannot take a runtime; undefined when it can. */
export const whyNot = (host: HostView, need: RuntimeRow): string | undefined => {
  if (!host.live) return host.lastSeenAt ? 'it has been silent for 20 s or more' : 'it has not reported yet'
  if (!host.schedulable) return 'it is cordoned'
  if (host.reservedSlots + 1 > host.slots) return `all ${host.slots} slots are taken`
  const memory = host.memoryBytes - host.reservedMemoryBytes
  if (memory < need.needMemoryBytes)
    return `${toMib(memory)} MiB of memory are free, ${toMib(need.needMemoryBytes)} are needed`
  const cpu = host.cpuMillis - host.reservedCpuMillis
  if (cpu < need.needCpuMillis) return `${cpu / 1000} CPUs are free, ${need.needCpuMillis / 1000} are needed`
  const gpus = host.gpus - host.reservedGpus
  if (gpus < need.needGpus) return `${gpus} GPUs are free, ${need.needGpus} are needed`
  return undefined
}

const toMib = (bytes: number) => Math.floor(bytes / 1024 ** 2)

/** The share of its scarcer resource that is free, 0–1: higher is a better place. */
const freeShare = (host: HostView): number =>
  Math.min(
    1 - host.reservedMemoryBytes / Math.max(1, host.memoryBytes),
    1 - host.reservedCpuMillis / Math.max(1, host.cpuMillis),
  )

const describe = (reasons: Map<string, string>) =>
  [...reasons].map(([name, reason]) => `${name}: ${reason}`).join('; ') || 'no host has joined'

/** The host a runtime has to go to: where its container may still be, or where its profile is. */
const homeOf = async (db: Db, row: RuntimeRow): Promise<string | undefined> =>
  row.reserved && row.hostId ? row.hostId : (await findProfile(db, row))?.hostId

/**
 * Chooses a host and starts a new generation there, its capacity reserved.
 *
 * @returns the row in `starting`; `'over-quota'` when its tenant has no room; undefined when somebody else moved the
 *   runtime meanwhile
 * @throws Problem `no-capacity` (with each host's reason), `profile-unavailable`
 */
export const place = async (
  db: Db,
  row: RuntimeRow,
  leaseMs: number,
): Promise<RuntimeRow | 'over-quota' | undefined> => {
  const home = await homeOf(db, row)
  const found = home === undefined ? await listHosts(db, { limit: maxHosts }) : [await findHost(db, home)]
  const hosts = found.filter(host => host !== undefined)
  const reasons = new Map<string, string>()
  const better = hosts.toSorted((a, b) => freeShare(b) - freeShare(a))
  for (const host of better) {
    const holdsIt = row.reserved && row.hostId === host.id
    const reason = holdsIt ? undefined : whyNot(host, row)
    const started = reason === undefined ? await startOn(db, row, host.id, leaseMs) : 'full'
    if (started !== 'full') return started
    reasons.set(host.name, reason ?? 'its last room went to another runtime')
  }
  const away = hosts.length === 1 && home !== undefined && hosts[0]?.live === false
  if (away)
    throw new Problem('profile-unavailable', {
      detail: describe(reasons),
      retryAfterSeconds: 10,
    })
  throw new Problem('no-capacity', { detail: describe(reasons), retryAfterSeconds: 5 })
}
