import { hash } from 'node:crypto'
import { type Beat, compareInventories, type Db, type HostFacts, recordHeartbeat, recordHeartbeats } from '@porthole/db'
import type { RuntimeFacts } from '@porthole/protocol'
import { gather } from './beats-gather.ts'
import { takeTurns } from './beats-turns.ts'

/** Heartbeats of many hosts, compared and written together. */
export type Beats = {
  /** Whether a host has just what it should have; undefined when it was removed. */
  isWell(hostId: string, runtimes: RuntimeFacts[]): Promise<boolean | undefined>
  /** Writes what a host says; done when it is written. @returns false when it was removed */
  record(hostId: string, said: Said): Promise<boolean>
}

export type Said = HostFacts & Pick<Beat, 'load' | 'diskFreeBytes'>

/** Milliseconds for which facts are not written again. Not for ever: another gateway may have written others since. */
const factsMs = 30_000
/** Hosts whose facts are remembered; the oldest goes first. */
const mostKnown = 20_000
/** Heartbeats that wait at a time, each by itself, for a row that somebody else has. */
const behindAtOnce = 4
const mostBehind = 5000
/** Characters of facts that are remembered as they are; hashing costs more than comparing. */
const mostPlain = 2048
/** Hosts that are compared together: each may have 10,000 containers. */
const mostCompared = 100

const digestOf = (facts: HostFacts): string => {
  const text = JSON.stringify(facts)
  return text.length <= mostPlain ? text : hash('sha256', text, 'base64url')
}

/**
 * @param now milliseconds of any clock that only moves forward
 * @throws GatherFull, TurnsTaken (both functions) when more heartbeats wait than may
 */
export const gatherBeats = (db: Db, now: () => number = () => performance.now()): Beats => {
  /** By host: the digest of its facts, and when they were written. */
  const written = new Map<string, { digest: string; at: number }>()

  const remember = (id: string, digest: string) => {
    written.delete(id)
    for (const oldest of written.keys()) {
      if (written.size < mostKnown) break
      written.delete(oldest)
    }
    written.set(id, { digest, at: now() })
  }
  const isWritten = (id: string, digest: string) => {
    const before = written.get(id)
    return before?.digest === digest && now() - before.at < factsMs
  }

  /** @returns for each whether it was written; if not, somebody else has its row, or it is gone */
  const write = gather(async (beats: Beat[]): Promise<boolean[]> => {
    // Of a host that has said something twice, the last word.
    const recorded = await recordHeartbeats(db, [...new Map(beats.map(beat => [beat.id, beat])).values()])
    return beats.map(({ id }) => recorded.has(id))
  })
  const inTurn = takeTurns(behindAtOnce, mostBehind)

  const compare = gather(
    async (told: { hostId: string; runtimes: RuntimeFacts[] }[]): Promise<(boolean | undefined)[]> => {
      const wellById = await compareInventories(db, told)
      return told.map(({ hostId }) => wellById.get(hostId))
    },
    { most: mostCompared },
  )

  return {
    isWell: (hostId, runtimes) => compare({ hostId, runtimes }),
    record: async (id, { load, diskFreeBytes, ...facts }) => {
      const digest = digestOf(facts)
      const beat: Beat = { id, load, diskFreeBytes, facts: isWritten(id, digest) ? undefined : facts }
      const isRecorded = (await write(beat)) || (await inTurn(() => recordHeartbeat(db, beat)))
      if (!isRecorded) written.delete(id)
      else if (beat.facts) remember(id, digest)
      return isRecorded
    },
  }
}
