import { type AuditEntry, addAudit, type Db } from '@porthole/db'
import type { Logger } from 'pino'

/** Writes down who did what. Entries go to the database in batches, so that the edge does not wait for it. */
export type Audit = {
  record(entry: AuditEntry): void
  /** Writes what is left, for at most `ms`. */
  close(ms: number): Promise<void>
}

const flushMs = 250
const batchSize = 500
/** Entries kept while the database is away; beyond that the oldest go, and the log says how many. */
const maxWaiting = 20_000

export const createAudit = (db: Db, log: Logger): Audit => {
  let waiting: AuditEntry[] = []
  let flushing: Promise<void> | undefined
  let isHealthy = true

  const flush = async () => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, batchSize)
      try {
        await addAudit(db, batch)
        waiting = waiting.slice(batch.length)
        isHealthy = true
      } catch (error) {
        if (isHealthy)
          log.error({ err: error, waiting: waiting.length }, 'audit could not be written, will be tried again')
        isHealthy = false
        return
      }
    }
  }
  const flushOnce = () => {
    flushing ??= flush().finally(() => {
      flushing = undefined
    })
    return flushing
  }
  const timer = setInterval(flushOnce, flushMs)

  return {
    record: entry => {
      if (waiting.length >= maxWaiting) {
        const dropped = waiting.length - maxWaiting + 1
        // The batch under way stays at the front: it is cut off by its length once it is written.
        if (flushing) return void log.error({ action: entry.action, tenant: entry.tenant }, 'audit entry lost')
        waiting = waiting.slice(dropped)
        log.error({ dropped }, 'audit entries lost')
      }
      waiting.push(entry)
    },
    close: async ms => {
      clearInterval(timer)
      let deadline: NodeJS.Timeout | undefined
      const late = new Promise<void>(resolve => {
        deadline = setTimeout(resolve, ms)
      })
      await Promise.race([flushOnce().then(flushOnce), late])
      clearTimeout(deadline)
    },
  }
}
