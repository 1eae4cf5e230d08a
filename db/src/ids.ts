import { randomBytes } from 'node:crypto'
import { ulid } from 'ulid'

/** 26 characters, sortable by time. Asked for all of its randomness at once: ulid by itself asks sixteen times, for a byte each. */
export const newId = (): string => {
  const bytes = randomBytes(16)
  let taken = 0
  return ulid(undefined, () => (bytes[taken++] ?? 0) / 256)
}
