import type { Entry } from '../history.ts'

/** By when each was answered: an owner's client asks one thing after the other. */
export const inOrder = (entries: readonly Entry[]) => entries.toSorted((a, b) => a.at + a.ms - (b.at + b.ms))

export const isDelete = ({ operation }: Entry) => operation === 'delete' || operation === 'delete with profile'
export const isCreate = ({ operation }: Entry) =>
  operation === 'create' || operation === 'create twice' || operation === 'create again'

/** Whether it was done, or may have been. */
export const mayBeDone = ({ outcome }: Entry) => outcome !== 'refused'
/** One for which there was no room in the end may have made a volume, or a row, on the way there. */
const mayHaveBegun = (entry: Entry) => mayBeDone(entry) || entry.code === 'no-capacity'

/** What may have made a runtime, or a volume, again. */
export const mayStart = (entry: Entry) => (isCreate(entry) || entry.operation === 'start') && mayHaveBegun(entry)
/** The same, and what starts a runtime on the way to its browser. */
export const mayWake = (entry: Entry) =>
  mayHaveBegun(entry) &&
  (isCreate(entry) || (['start', 'resume', 'drive', 'watch'] as Entry['operation'][]).includes(entry.operation))

export const losesProfile = (entry: Entry) => entry.operation === 'delete with profile' && mayBeDone(entry)

/** Whether a runtime was said to run since its owner's profile was last given up: then there is one. */
export const hasProfile = (entries: readonly Entry[]): boolean => {
  let has = false
  for (const entry of inOrder(entries)) {
    if (losesProfile(entry)) has = false
    else if (entry.outcome === 'ok' && !isDelete(entry) && entry.runtime?.state === 'running') has = true
  }
  return has
}
