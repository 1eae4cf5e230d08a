import type { Entry } from '../history.ts'

/** By when each was answered: an owner's client asks one thing after the other. */
export const inOrder = (entries: readonly Entry[]) => entries.toSorted((a, b) => a.at + a.ms - (b.at + b.ms))

export const isDelete = ({ operation }: Entry) => operation === 'delete' || operation === 'delete with profile'
export const isCreate = ({ operation }: Entry) => operation === 'create' || operation === 'create twice'
/** What may have made a runtime, or a volume, again. */
export const mayStart = (entry: Entry) =>
  (isCreate(entry) || entry.operation === 'start') && entry.outcome !== 'refused'
