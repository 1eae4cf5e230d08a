import { type Db, loseRuntimesOfSilent, lostAfterSeconds, measureSilence, type Silence, tryToWrite } from '@porthole/db'
import type { Logger } from 'pino'
import { problemOf } from '../problem.ts'

/** Declares runtimes lost whose hosts are silent; with a brake for when the fault is more likely ours. */
export type LossWatch = {
  /** One look, as the timer does it. @returns how many runtimes were declared lost */
  look(): Promise<number>
  stop(): Promise<void>
}

const everyMs = 2000
/** Milliseconds without a look after which it was we who were away, and nobody's silence can be judged. */
const gapMs = 10_000

/**
 * Nobody is declared lost for one grace after this gateway started, could not look for a while, or found that the database
 * cannot be read or written: hosts could not report either. Nor for one whole grace after more than half of the hosts that
 * were there lately have gone silent at once, though some are back by then: it is the network that was away, or we.
 *
 * @param graceMs milliseconds
 * @param now milliseconds of any clock that only moves forward
 */
export const watchLoss = (
  db: Db,
  log: Logger,
  { graceMs = lostAfterSeconds * 1000, now = () => performance.now() } = {},
): LossWatch => {
  let fitSince = now()
  let lookedAt = now()
  let heldSince: number | undefined

  const isHeld = () => heldSince !== undefined && now() - heldSince < graceMs

  /** Also whether what hosts say can be written: a database that is full or read-only has them all look silent. */
  const measure = async (): Promise<Silence> => {
    try {
      const silence = await measureSilence(db)
      if (silence.due > 0) await tryToWrite(db)
      return silence
    } catch (error) {
      fitSince = now()
      throw error
    }
  }

  const lose = async (): Promise<number> => {
    try {
      const lost = await loseRuntimesOfSilent(db)
      if (lost.length > 0)
        log.warn({ runtimes: lost.length, hosts: new Set(lost.map(({ hostId }) => hostId)).size }, 'runtimes lost')
      return lost.length
    } catch (error) {
      // One row that cannot be moved is a fault of its own: it keeps no other host from being given up.
      if (problemOf(error).code === 'database-unavailable') fitSince = now()
      throw error
    }
  }

  const look = async (): Promise<number> => {
    const { recent, silent, due } = await measure()
    if (now() - lookedAt > gapMs) fitSince = now()
    lookedAt = now()
    const isMass = recent === 0 || silent * 2 > recent
    if (heldSince !== undefined && !isHeld() && (due === 0 || !isMass)) {
      log.info({ recent, silent }, 'hosts answer again')
      heldSince = undefined
    }
    if (due === 0 || now() - fitSince < graceMs) return 0
    if (isMass && heldSince === undefined) {
      log.error({ recent, silent }, 'most hosts are silent at once, none is given up yet')
      heldSince = now()
    }
    return isHeld() ? 0 : lose()
  }

  let looking: Promise<unknown> | undefined
  const timer = setInterval(() => {
    looking ??= look()
      .catch(error => log.debug({ err: error }, 'silent hosts could not be looked for'))
      .finally(() => {
        looking = undefined
      })
  }, everyMs)
  return {
    look,
    stop: async () => {
      clearInterval(timer)
      await looking
    },
  }
}
