import { type EventRow, listEvents, type RuntimeRow } from '@porthole/db'
import type { Context } from 'hono'
import type { House } from '../house.ts'
import type { Caller } from '../tokens/caller.ts'
import { within } from '../within.ts'
import type { AppEnv } from './openapi.ts'

/** Events read at a time. */
const pageSize = 100
/** Milliseconds without an event after which the client is told that there is none: less than proxies wait. */
const silenceMs = 15_000
/** Milliseconds that a look may take. */
const readMs = 5000
/** Milliseconds in which a stream that is cut may come to its end. */
const lastWordMs = 1000

const headers = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  // nginx would gather it otherwise.
  'x-accel-buffering': 'no',
}

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
  // Nobody would read it, and so nobody would end it.
  if (c.req.method === 'HEAD') return new Response(null, { headers })
  const { tenant, subject, tokenId, issuerId, expiresAt } = caller
  const { outgoing } = c.env
  const over = new AbortController()
  const place = sockets.enter({
    ...{ tenant, subject, tokenId, issuerId, expiresAt, access: 'view' },
    ...{ runtimeId: row.id, door: 'events', kind: 'request' },
    close: () => {
      over.abort()
      // One whose client reads no more ends no other way.
      setTimeout(() => outgoing.writableFinished || outgoing.destroy(), lastWordMs).unref()
    },
  })
  outgoing.once('close', () => {
    over.abort()
    place.leave()
  })
  return new Response(streamOf(tell()), { headers })

  async function* tell(): AsyncGenerator<string> {
    let last = after
    while (!over.signal.aborted) {
      // Listening starts before the look, so that what comes in between is heard of.
      const { heard, leave } = changes.listen(row.id, silenceMs, over.signal)
      const listening = performance.now()
      try {
        // A database that is away for a moment ends no stream.
        const found = await within(readMs, listEvents(db, row, last, pageSize)).catch(error => {
          log.debug({ err: error, runtime: row.id }, 'events could not be read')
          return []
        })
        for (const event of found) {
          last = event.seq
          yield `event: ${event.type}\nid: ${event.seq}\ndata: ${JSON.stringify(present(event))}\n\n`
          if (event.toState === 'deleted') return
        }
        if (found.length === pageSize) continue
        await heard
      } finally {
        leave()
      }
      if (performance.now() - listening >= silenceMs && !over.signal.aborted) yield ': nothing new\n\n'
    }
  }
}

const streamOf = (texts: AsyncGenerator<string>): ReadableStream<Uint8Array> => {
  const encoder = new TextEncoder()
  return new ReadableStream({
    pull: async controller => {
      const { done, value } = await texts.next()
      if (done) controller.close()
      else controller.enqueue(encoder.encode(value))
    },
    cancel: async () => void (await texts.return(undefined)),
  })
}
