import type { Logger } from 'pino'
import { within } from '../within.ts'

/**
 * What time it is for the database: every gateway mints and judges tokens by that, so that one with a wrong clock neither
 * lets expired ones in nor locks good ones out. This machine's own time of day is not asked; how much of it has passed is.
 */
export type Clock = {
  /** Milliseconds since the epoch. */
  now(): number
  close(): Promise<void>
}

const lookMs = 5000
/** Milliseconds after which a look is given up. */
const stuckMs = 2000
/** An answer that took longer is too vague, unless there is no other: somewhere within that time it was true. */
const vagueMs = 500
/** Milliseconds by which this machine's clock may be wrong before its operator is told. */
const toldMs = 5000

/**
 * @param read the database's time; the clock is its own from the first answer on, and goes on by itself while it is away
 * @param local this machine's time of day, for a word to its operator
 * @param elapsed milliseconds of a clock that only moves forward
 * @throws whatever the first look does
 */
export const followClock = async (
  read: () => Promise<number>,
  log: Logger,
  { local = Date.now, elapsed = () => performance.now() } = {},
): Promise<Clock> => {
  let known: { time: number; at: number } | undefined
  let isTold = false

  const look = async () => {
    const askedAt = elapsed()
    const time = await within(stuckMs, read())
    const tookMs = elapsed() - askedAt
    if (known && tookMs > vagueMs) return
    known = { time, at: askedAt + tookMs / 2 }
    const aheadMs = local() - now()
    const isWrong = Math.abs(aheadMs) > toldMs
    if (isWrong && !isTold)
      log.warn({ aheadMs: Math.round(aheadMs) }, "this machine's clock is not the database's, which counts: set it")
    isTold = isWrong
  }
  const now = () => Math.round(known ? known.time + elapsed() - known.at : local())

  await look()
  let looking: Promise<void> | undefined
  const timer = setInterval(() => {
    // That the database is away is told elsewhere.
    looking ??= look()
      .catch(() => {})
      .finally(() => {
        looking = undefined
      })
  }, lookMs)

  return {
    now,
    close: async () => {
      clearInterval(timer)
      await looking
    },
  }
}
