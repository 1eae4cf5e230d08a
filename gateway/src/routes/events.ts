import { createRoute, z } from '@hono/zod-openapi'
import { type EventRow, findRuntime, listEvents, runtimeStates } from '@porthole/db'
import { type House, isTheirs } from '../house.ts'
import { Problem } from '../problem.ts'
import { streamEvents } from './event-stream.ts'
import { bearer, createRouter, guard, jsonAnswer, problemAnswers } from './openapi.ts'
import { limit, pageOf, runtimeIdParam } from './schemas.ts'

const state = z.enum(runtimeStates)
const seqText = z.string().regex(/^\d{1,15}$/)

const eventSchema = z
  .object({
    seq: z.int(),
    type: z.string().openapi({ example: 'runtime.running' }),
    generation: z.int(),
    from: state.nullable(),
    to: state,
    reason: z.string().nullable(),
    data: z.record(z.string(), z.unknown()).openapi({
      description:
        "What the move tells besides. `runtime.running`, after a start: `startMs`, milliseconds from the command to its host until it was ready, and `steps`, the milliseconds of each step as far as they are known, one after the other: `placement` (host chosen, room reserved), `turn` (waiting for other starts on that host), `prepare` (image and network), `volume`, `create`, `start` (the engine's), `boot`, `display`, `browser` (the container's own), `answer` (until it answered its health check).",
      example: { startMs: 980, steps: { placement: 9, create: 60, start: 240, browser: 520 } },
    }),
    at: z.iso.datetime(),
  })
  .openapi('RuntimeEvent')

const present = ({ seq, type, generation, fromState, toState, reason, data, at }: EventRow) => ({
  ...{ seq, type, generation, reason, data },
  from: fromState,
  to: toState,
  at: at.toISOString(),
})

/** What has happened to a runtime. */
export const eventRoutes = (house: House) => {
  const app = createRouter()
  app.openapi(
    createRoute({
      method: 'get',
      middleware: guard(house, 'runtimes:read'),
      path: '/v1/runtimes/{id}/events',
      operationId: 'listRuntimeEvents',
      summary: 'List what has happened to a runtime',
      description:
        'Every move from one state to another, oldest first; also of a runtime that is deleted. With `Accept: text/event-stream` they come as server-sent events, as they happen, until it is deleted; `Last-Event-ID` or `cursor` says where to go on. `runtime.expiring` is none: it warns of the next end by the rules of use, and its state stays.',
      tags: ['Runtimes'],
      security: bearer,
      request: {
        params: runtimeIdParam,
        headers: z.object({
          'last-event-id': seqText
            .optional()
            .openapi({ description: 'Of a stream: the last event that was received. The stream goes on behind it.' }),
        }),
        query: z.strictObject({
          limit,
          cursor: seqText.optional(),
        }),
      },
      responses: {
        200: {
          description: 'A page, or the stream',
          content: {
            ...jsonAnswer('A page', pageOf(eventSchema, 'RuntimeEventPage')).content,
            'text/event-stream': {
              schema: z
                .string()
                .openapi({ description: 'Server-sent events, each with a `RuntimeEvent` as its data.' }),
            },
          },
        },
        204: { description: 'Of a stream: the runtime is deleted, and nothing more will come' },
        ...problemAnswers('insufficient-scope', 'not-found', 'too-many-open', 'gateway-full'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const { db } = house.database
      const row = await findRuntime(db, caller.tenant, c.req.valid('param').id)
      if (!isTheirs(caller, row)) throw new Problem('not-found')
      const { limit: most, cursor } = c.req.valid('query')
      if (c.req.header('accept')?.includes('text/event-stream')) {
        const after = Number(c.req.valid('header')['last-event-id'] ?? cursor ?? 0)
        // EventSource comes back until it is told so.
        if (row.state === 'deleted' && (await listEvents(db, row, after, 1)).length === 0) return c.body(null, 204)
        return streamEvents(house, c, { row, caller, after }, present)
      }
      const found = await listEvents(db, row, Number(cursor ?? 0), most + 1)
      const page = found.slice(0, most)
      const nextCursor = found.length > most ? String(page.at(-1)?.seq) : null
      return c.json({ items: page.map(present), nextCursor }, 200)
    },
  )
  return app
}
