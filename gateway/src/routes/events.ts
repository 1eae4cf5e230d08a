import { createRoute, z } from '@hono/zod-openapi'
import { type EventRow, findRuntime, listEvents, runtimeStates } from '@porthole/db'
import { type House, isTheirs } from '../house.ts'
import { Problem } from '../problem.ts'
import { bearer, createRouter, guard, jsonAnswer, problemAnswers } from './openapi.ts'
import { limit, pageOf, runtimeIdParam } from './schemas.ts'

const state = z.enum(runtimeStates)

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
        'Every move from one state to another, oldest first; also of a runtime that is deleted. `runtime.expiring` is none: it warns of the next end by the rules of use, and its state stays.',
      tags: ['Runtimes'],
      security: bearer,
      request: {
        params: runtimeIdParam,
        query: z.strictObject({
          limit,
          cursor: z
            .string()
            .regex(/^\d{1,15}$/)
            .optional(),
        }),
      },
      responses: {
        200: jsonAnswer('A page', pageOf(eventSchema, 'RuntimeEventPage')),
        ...problemAnswers('insufficient-scope', 'not-found'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const { db } = house.database
      const row = await findRuntime(db, caller.tenant, c.req.valid('param').id)
      if (!isTheirs(caller, row)) throw new Problem('not-found')
      const { limit: most, cursor } = c.req.valid('query')
      const found = await listEvents(db, row, Number(cursor ?? 0), most + 1)
      const page = found.slice(0, most)
      const nextCursor = found.length > most ? String(page.at(-1)?.seq) : null
      return c.json({ items: page.map(present), nextCursor }, 200)
    },
  )
  return app
}
