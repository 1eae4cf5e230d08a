import type { HeartbeatAnswer } from '@porthole/protocol'
import type { Logger } from 'pino'
import type { Runtimes } from './runtimes.ts'

type Name = { id: string; generation: number }

/** Removes what the gateway says is over, and, after a grace, what it says it does not know. */
export type Removals = {
  /** Takes the answer to a full heartbeat. Returns once what was to be removed is removed, or has failed. */
  take(answer: Pick<HeartbeatAnswer, 'remove' | 'unknown'>): Promise<void>
}

/**
 * Milliseconds. A gateway may be about to know a container whose row it has not read yet, and Docker may have started one
 * although the call failed.
 */
const unknownMs = 60_000

const keyOf = ({ id, generation }: Name) => `${id} ${generation}`

/**
 * @param now milliseconds of any clock that only moves forward
 */
export const createRemovals = (deps: {
  runtimes: Pick<Runtimes, 'discard'>
  log: Logger
  graceMs?: number
  now?: () => number
}): Removals => {
  const { runtimes, log } = deps
  const graceMs = deps.graceMs ?? unknownMs
  const now = deps.now ?? (() => performance.now())
  let unknownSince = new Map<string, number>()

  const remove = async (name: Name, why: string): Promise<void> => {
    try {
      if (await runtimes.discard(name.id, name.generation))
        log.info({ runtime: name.id, ...name, why }, 'container removed')
    } catch (err) {
      // It is named again with the next answer.
      log.warn({ err, runtime: name.id, generation: name.generation }, 'container could not be removed')
    }
  }

  return {
    take: async ({ remove: over = [], unknown = [] }) => {
      const at = now()
      // One that was not named this time begins anew.
      unknownSince = new Map(unknown.map(name => [keyOf(name), unknownSince.get(keyOf(name)) ?? at]))
      const due = unknown.filter(name => at - (unknownSince.get(keyOf(name)) ?? at) >= graceMs)
      for (const name of over) await remove(name, 'its generation is over')
      for (const name of due) await remove(name, 'nobody knows it')
    },
  }
}
