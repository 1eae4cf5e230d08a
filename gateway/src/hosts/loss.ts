import { type Db, loseRuntimesOfSilent, lostAfterSeconds, measureSilence } from '@porthole/db'
import type { Logger } from 'pino'

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
 * Nobody is declared lost for one grace after this gateway started or could not look for a while, nor for one grace after more than half of the hosts
 * that were there lately have gone silent at once: then it is the network, the database or we who were away.
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

  const look = async (): Promise<number> => {
    const { recent, silent, due } = await measureSilence(db)
    if (now() - lookedAt > gapMs) fitSince = now()
    lookedAt = now()
    const isMass = recent === 0 || silent * 2 > recent
    if (due === 0 || !isMass) {
      if (heldSince !== undefined) log.info({ recent, silent }, 'hosts answer again')
      heldSince = undefined
    }
    if (due === 0 || now() - fitSince < graceMs) return 0
    if (isMass) {
      if (heldSince === undefined) log.error({ recent, silent }, 'most hosts are silent at once, none is given up yet')
      heldSince ??= now()
      if (now() - heldSince < graceMs) return 0
    }
    const lost = await loseRuntimesOfSilent(db)
    if (lost.length > 0)
      log.warn({ runtimes: lost.length, hosts: new Set(lost.map(({ hostId }) => hostId)).size }, 'runtimes lost')
    return lost.length
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
