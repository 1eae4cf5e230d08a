import { type Db, findLive, type HostView, hostsYetToRemove, type ProfileRow } from '@porthole/db'
import type { Placement } from '../runtimes/placement.ts'
import { type Demand, demandOf, leastDiskBytes } from '../runtimes/score.ts'

/** Where profiles go, and what has come of sending them there. */
export type Destinations = {
  /** The best host for the profile's owner, other than the one it leaves; undefined when there is none. */
  best(profile: ProfileRow): Promise<HostView | undefined>
  /** The profile holds so many bytes: from now on only hosts with as much room do. */
  measured(profile: ProfileRow, bytes: number): void
  /** The host has not taken it: for a while, another one is better. */
  refused(profile: ProfileRow, hostId: string): void
  /** It has arrived. */
  forget(profile: ProfileRow): void
}

/** Milliseconds for which a host that has not taken a profile is the last resort for it. */
const refusedMs = 5 * 60_000
/** Profiles of which something is remembered; beyond it the oldest is forgotten. */
const maxNotes = 1000

type Note = { bytes: number; refusedUntil: Map<string, number> }

/** Whether a profile of that size leaves a host the room that it needs to go on. One that does not tell is believed to have it. */
export const hasDiskFor = (host: Pick<HostView, 'diskFreeBytes'>, bytes: number): boolean =>
  host.diskFreeBytes === null || host.diskFreeBytes >= bytes + leastDiskBytes

export const createDestinations = ({
  db,
  placement,
}: {
  db: Db
  placement: Pick<Placement, 'explain' | 'policy'>
}): Destinations => {
  const notes = new Map<string, Note>()

  const noteOf = ({ id }: ProfileRow): Note => {
    const note = notes.get(id) ?? { bytes: 0, refusedUntil: new Map() }
    notes.set(id, note)
    for (const oldest of notes.keys()) {
      if (notes.size <= maxNotes) break
      notes.delete(oldest)
    }
    return note
  }

  const demandFor = async (profile: ProfileRow): Promise<Demand> => {
    const { policy } = placement
    const row = await findLive(db, profile)
    if (row) return demandOf(row, policy, undefined)
    return { memoryBytes: 0, cpuMillis: 0, gpus: 0, require: {}, policy, image: undefined }
  }

  return {
    best: async profile => {
      const note = notes.get(profile.id)
      const [explained, yetToRemove] = await Promise.all([
        placement.explain(await demandFor(profile)),
        hostsYetToRemove(db, profile.ownerHash),
      ])
      // Where it would fit if others left is good enough for a profile: it is the runtime that waits.
      const able = explained.filter(
        ({ host, reason }) =>
          host.id !== profile.hostId && reason?.never !== true && host.live && hasDiskFor(host, note?.bytes ?? 0),
      )
      const hasRefused = (id: string) => (note?.refusedUntil.get(id) ?? 0) > performance.now()
      const free = able.filter(({ host }) => !yetToRemove.has(host.id))
      const willing = free.filter(({ host }) => !hasRefused(host.id))
      // One that has something to remove first is worth waiting for, where there is no other.
      return (willing.find(({ reason }) => !reason) ?? willing[0] ?? free[0] ?? able[0])?.host
    },
    measured: (profile, bytes) => {
      noteOf(profile).bytes = bytes
    },
    refused: (profile, hostId) => {
      noteOf(profile).refusedUntil.set(hostId, performance.now() + refusedMs)
    },
    forget: profile => void notes.delete(profile.id),
  }
}
