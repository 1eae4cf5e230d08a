import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'
import { inOrder, losesProfile } from './asked.ts'

/** 6: what was in a profile is in it, for as long as nobody gives the profile up: a new and empty one is not the same. */
export const marksKept = ({ history, profiles, engines, names }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const invariant = '6, nothing vanishes or leaks'
  for (const [owner, entries] of Map.groupBy(history.entries, ({ owner }) => owner)) {
    let left: string | undefined
    for (const entry of inOrder(entries)) {
      if (losesProfile(entry)) left = undefined
      if (!entry.mark) continue
      if (left !== undefined && entry.mark.found !== left)
        wrong.push({
          invariant,
          what: `the profile of ${owner} was another one at ${(entry.at / 1000).toFixed(1)} s: what was left in it is gone`,
          past: true,
        })
      left = entry.mark.left
    }
    const profile = profiles.find(profile => profile.owner === owner)
    const engine = engines.find(({ host }) => host === profile?.hostId)
    const volume = `${names.volumePrefix}${profile?.ownerHash}`
    // One that is not there at all is named by another check.
    if (left !== undefined && engine?.volumes.includes(volume) && engine.marks[volume] !== left)
      wrong.push({ invariant, what: `the profile of ${owner} is another one now: what was left in it is gone` })
  }
  return wrong
}
