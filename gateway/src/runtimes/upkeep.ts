import { type Db, dropExpired } from '@porthole/db'
import type { Logger } from 'pino'

const everyMs = 60_000

/** Removes expired one-time things once a minute. Any number of gateways may do it. */
export const startUpkeep = (db: Db, log: Logger): { stop(): void } => {
  const timer = setInterval(() => {
    dropExpired(db).catch(error => log.warn({ err: error }, 'expired rows could not be removed'))
  }, everyMs)
  return { stop: () => clearInterval(timer) }
}
