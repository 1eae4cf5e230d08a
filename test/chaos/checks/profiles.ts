import type { RuntimeRow } from '@porthole/db'
import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'
import { hasProfile } from './asked.ts'

/** 6: a profile goes when somebody asks for that, and not otherwise; and no volume is left that is nobody's. */
export const profilesKept = ({ history, profiles, engines, removals, names, runtimes }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const say = (what: string) => wrong.push({ invariant: '6, nothing vanishes or leaks', what })
  const entriesOf = (owner: string) => history.entries.filter(entry => entry.owner === owner)
  const has = (host: string, hash: string) =>
    engines.find(engine => engine.host === host)?.volumes.includes(`${names.volumePrefix}${hash}`) ?? false
  for (const { owner, ownerHash, hostId } of profiles)
    if (!has(hostId, ownerHash) && (wasReady(runtimes, owner) || hasProfile(entriesOf(owner))))
      say(`the profile of ${owner} is not on ${hostId}`)
  for (const { host, volumes, networks } of engines) {
    for (const volume of volumes) {
      const hash = volume.slice(names.volumePrefix.length)
      const isKnown =
        profiles.some(profile => profile.hostId === host && profile.ownerHash === hash) ||
        removals.some(removal => removal.hostId === host && removal.ownerHash === hash)
      if (!isKnown) say(`${volume} on ${host} is nobody's`)
    }
    const others = networks.filter(name => !name.startsWith(names.network))
    if (others.length > 0) say(`${host} has networks of somebody else: ${others.join(', ')}`)
  }
  for (const owner of new Set(history.entries.map(({ owner }) => owner)))
    if (hasProfile(entriesOf(owner)) && !profiles.some(profile => profile.owner === owner))
      say(`${owner} has not deleted its profile since it was there, and has none`)
  return wrong
}

/**
 * Of an owner of an earlier schedule, whose history is not known. A start that fails before its container is made leaves a
 * profile without a volume: there is nothing in it.
 */
const wasReady = (runtimes: RuntimeRow[], owner: string) =>
  runtimes.some(row => row.owner === owner && row.readyAt !== null && row.state !== 'deleted')
