import { type Db, dropExpired, lookAtForgotten, loseRuntimesOfRemoved } from '@porthole/db'
import type { Logger } from 'pino'
import type { Issuer } from '../tokens/issuer.ts'

const everyMs = 60_000
/** Runtimes that are gone through a minute for looks that were forgotten. */
const goneThrough = 5000

/** Once a minute: removes expired one-time things, and sees to the signing keys. Any number of gateways may do it. */
export const startUpkeep = (db: Db, issuer: Issuer, log: Logger): { stop(): void } => {
  let goneTo = ''
  const goOn = async () => {
    // A gateway of before there were rules leaves them so, which is there while others are brought up to date.
    const { found, next } = await lookAtForgotten(db, goneTo, goneThrough)
    goneTo = next
    if (found > 0) log.info({ found }, 'runtimes with rules that nobody was to look at are looked at')
  }
  const timer = setInterval(() => {
    dropExpired(db).catch(error => log.warn({ err: error }, 'expired rows could not be removed'))
    // What a gateway left undone that died while it removed a host.
    loseRuntimesOfRemoved(db).catch(error => log.warn({ err: error }, 'runtimes of removed hosts could not be ended'))
    goOn().catch(error => log.warn({ err: error }, 'runtimes that nobody is to look at could not be looked for'))
    issuer
      .rotate()
      .then(isNew => isNew && log.info('next signing key published'))
      .catch(error => log.warn({ err: error }, 'signing keys could not be looked after'))
  }, everyMs)
  return { stop: () => clearInterval(timer) }
}
