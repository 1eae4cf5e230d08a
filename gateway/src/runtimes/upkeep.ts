import { type Db, dropExpired, loseRuntimesOfRemoved } from '@porthole/db'
import type { Logger } from 'pino'
import type { Issuer } from '../tokens/issuer.ts'

const everyMs = 60_000

/** Once a minute: removes expired one-time things, and sees to the signing keys. Any number of gateways may do it. */
export const startUpkeep = (db: Db, issuer: Issuer, log: Logger): { stop(): void } => {
  const timer = setInterval(() => {
    dropExpired(db).catch(error => log.warn({ err: error }, 'expired rows could not be removed'))
    // What a gateway left undone that died while it removed a host.
    loseRuntimesOfRemoved(db).catch(error => log.warn({ err: error }, 'runtimes of removed hosts could not be ended'))
    issuer
      .rotate()
      .then(isNew => isNew && log.info('next signing key published'))
      .catch(error => log.warn({ err: error }, 'signing keys could not be looked after'))
  }, everyMs)
  return { stop: () => clearInterval(timer) }
}
