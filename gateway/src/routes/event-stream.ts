import { type EventRow, listEvents, type RuntimeRow } from '@porthole/db'
import type { Context } from 'hono'
import { type SSEStreamingApi, streamSSE } from 'hono/streaming'
import type { House } from '../house.ts'
import type { Caller } from '../tokens/caller.ts'
import { within } from '../within.ts'
import type { AppEnv } from './openapi.ts'

/** Events read at a time. */
const pageSize = 100
/** Milliseconds between two looks without a hint, and without a word to the client: less than proxies wait. */
const lookMs = 5000
const silenceMs = 15_000
/** Milliseconds that a look may take. */
const readMs = 5000
/** Milliseconds in which a stream that is cut may come to its end. */
const lastWordMs = 1000

/**
 * What happens to a runtime, as it happens: a stream of server-sent events, each with its `seq` as id. It ends when the runtime is
 * deleted, when its caller's right ends, and with the gateway; whoever comes back with `Last-Event-ID` misses nothing.
 *
 * @param after the last one that the caller has
 * @throws Problem `too-many-open`, `gateway-full`
 */
export const streamEvents = (
  { database: { db }, changes, sockets, log }: Pick<House, 'database' | 'changes' | 'sockets' | 'log'>,
  c: Context<AppEnv>,
  { row, caller, after }: { row: RuntimeRow; caller: Caller; after: number },
  present: (event: EventRow) => object,
): Response => {
  const { tenant, subject, tokenId, issuerId, expiresAt } = caller
  const { outgoing } = c.env
  const over = new AbortController()
  /** One whose client reads no more ends no other way. */
  const cut = () => {
    over.abort()
    setTimeout(() => outgoing.writableFinished || outgoing.destroy(), lastWordMs).unref()
  }
  const place = sockets.enter({
    ...{ tenant, subject, tokenId, issuerId, expiresAt, access: 'view' },
    ...{ runtimeId: row.id, door: 'events', kind: 'request', close: cut },
  })
  c.header('x-accel-buffering', 'no')
  return streamSSE(c, async stream => {
    stream.onAbort(() => over.abort())
    try {
      await tell(stream)
    } catch (error) {
      log.warn({ err: error, runtime: row.id }, 'event stream broke off')
    } finally {
      place.leave()
    }
  })

  async function tell(stream: SSEStreamingApi): Promise<void> {
    let last = after
    let saidAt = performance.now()
    while (!over.signal.aborted) {
      // Listening starts before the look, so that what comes in between is heard of.
      const { heard, leave } = changes.listen(row.id, lookMs, over.signal)
      try {
        // A database that is away for a moment ends no stream.
        const found = await within(readMs, listEvents(db, row, last, pageSize)).catch(() => [])
        for (const event of found) {
          last = event.seq
          await stream.writeSSE({ id: String(event.seq), event: event.type, data: JSON.stringify(present(event)) })
          if (event.toState === 'deleted') return
        }
        if (found.length > 0) saidAt = performance.now()
        if (found.length === pageSize) continue
        await heard
      } finally {
        leave()
      }
      if (performance.now() - saidAt < silenceMs) continue
      saidAt = performance.now()
      await stream.write(': nothing new\n\n')
    }
  }
}
