import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { Explained } from '../dev/explained.ts'
import { isMissing } from '../dev/files.ts'
import { diskFull } from './messages.ts'

const neededBytes = 3e9

/**
 * Refuses to go on where less than 3 GB are free, before something fails half-way with a worse message.
 * @param what what the place is for, as the message names it
 */
export function ensureSpace(place: string, what: string, free = freeBytes): void {
  const bytes = free(place)
  if (bytes !== undefined && bytes < neededBytes) {
    throw new Explained(diskFull(place, what, bytes / 1e9, neededBytes / 1e9))
  }
}

/** Bytes that this user may still write where `place` is or will be; undefined when the system does not tell. */
function freeBytes(place: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(place)
    return bavail * bsize
  } catch (error) {
    return isMissing(error) && dirname(place) !== place ? freeBytes(dirname(place)) : undefined
  }
}
