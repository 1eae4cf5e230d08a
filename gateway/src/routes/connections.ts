import { createRoute, z } from '@hono/zod-openapi'
import { findRuntime } from '@porthole/db'
import { type House, isTheirs } from '../house.ts'
import { Problem } from '../problem.ts'
import { bearer, createRouter, guard, jsonAnswer, problemAnswers } from './openapi.ts'
import { runtimeIdParam } from './schemas.ts'

/** Entries in one answer; the counts are of all. */
const maxListed = 1000

const count = z.int().min(0)

const connectionsSchema = z
  .object({
    counts: z.object({ view: count, cdp: count, rpc: count, port: count, events: count }),
    items: z.array(
      z.object({
        door: z.enum(['view', 'cdp', 'rpc', 'port', 'events']),
        kind: z.enum(['socket', 'request']),
        access: z.enum(['control', 'view']),
        subject: z.string().openapi({ description: "The subject of the token, or of the ticket's token." }),
        openedAt: z.iso.datetime(),
      }),
    ),
  })
  .openapi('Connections')

/** Who is connected to a runtime. */
export const connectionRoutes = (house: House) => {
  const app = createRouter()
  app.openapi(
    createRoute({
      method: 'get',
      middleware: guard(house, 'runtimes:read'),
      path: '/v1/runtimes/{id}/connections',
      operationId: 'listConnections',
      summary: 'List what is open to a runtime',
      description: `Sockets, and requests under way, through the gateway that answers: with several behind one address, each knows its own. Oldest first, at most ${maxListed}.`,
      tags: ['Runtimes'],
      security: bearer,
      request: { params: runtimeIdParam },
      responses: {
        200: jsonAnswer('What is open', connectionsSchema),
        ...problemAnswers('insufficient-scope', 'not-found', 'gone'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const row = await findRuntime(house.database.db, caller.tenant, c.req.valid('param').id)
      if (!isTheirs(caller, row)) throw new Problem('not-found')
      if (row.state === 'deleted') throw new Problem('gone')
      const open = house.sockets.list(row.id)
      const counts = { view: 0, cdp: 0, rpc: 0, port: 0, events: 0 }
      for (const { door } of open) counts[door] += 1
      const items = open
        .slice(0, maxListed)
        .map(({ openedAt, ...entry }) => ({ ...entry, openedAt: new Date(openedAt).toISOString() }))
      return c.json({ counts, items }, 200)
    },
  )
  return app
}
