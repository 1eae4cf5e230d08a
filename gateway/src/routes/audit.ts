import { createRoute, z } from '@hono/zod-openapi'
import { listAudit } from '@porthole/db'
import type { MiddlewareHandler } from 'hono'
import type { House } from '../house.ts'
import { toProblem } from '../http-problem.ts'
import { Problem } from '../problem.ts'
import { tenantSlug } from '../tokens/caller.ts'
import { type AppEnv, bearer, createRouter, guard, jsonAnswer, problemAnswers } from './openapi.ts'
import { limit, pageOf, plainText } from './schemas.ts'

const entrySchema = z
  .object({
    id: z.int(),
    at: z.iso.datetime(),
    subject: z.string(),
    tokenId: z.string().nullable(),
    action: z.string().openapi({ example: 'POST /v1/runtimes' }),
    target: z.string(),
    status: z.int(),
    code: z.string().nullable(),
    address: z.string(),
    requestId: z.string(),
  })
  .openapi('AuditEntry')

const changing = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

/** Records every call that changes something, or was refused, once it is known who made it. */
export const recordCalls =
  (house: House): MiddlewareHandler<AppEnv> =>
  async (c, next) => {
    let failure: unknown
    try {
      await next()
      failure = c.error
    } catch (error) {
      failure = error
      throw error
    } finally {
      const guest = c.get('guest')
      const problem = failure === undefined ? undefined : toProblem(failure)
      const status = problem?.status ?? c.res.status
      if (guest && (changing.has(c.req.method) || status === 403))
        house.audit.record({
          tenant: guest.tenant,
          subject: guest.subject,
          tokenId: guest.tokenId ?? null,
          action: `${c.req.method} ${c.req.routePath ?? ''}`.trim(),
          target: c.req.path,
          status,
          code: problem?.code ?? null,
          address: c.env?.incoming?.socket.remoteAddress ?? '',
          requestId: c.get('requestId'),
        })
    }
  }

export const auditRoutes = (house: House) => {
  const app = createRouter()
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/audit',
      operationId: 'listAudit',
      summary: 'Who did what',
      description:
        'Newest first: every call that changed something or was refused, every ticket used and socket opened.',
      tags: ['Audit'],
      security: bearer,
      middleware: guard(house, 'tokens:write'),
      request: {
        query: z.strictObject({
          subject: plainText(256).optional(),
          target: plainText(512).optional(),
          tenant: tenantSlug.optional().openapi({ description: 'For operators.' }),
          limit,
          cursor: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
        }),
      },
      responses: {
        200: jsonAnswer('A page', pageOf(entrySchema, 'AuditPage')),
        ...problemAnswers('insufficient-scope'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      // Who may see what one owner did is not yet a question: the audit is the whole tenant's.
      if (caller.owner) throw new Problem('insufficient-scope', { detail: 'the token is good for one owner only' })
      const { tenant = caller.tenant, subject, target, limit: most, cursor } = c.req.valid('query')
      if (tenant !== caller.tenant && !caller.scopes.has('tenants:admin'))
        throw new Problem('insufficient-scope', { detail: "only an operator reads another tenant's audit" })
      const rows = await listAudit(house.database.db, tenant, { subject, target }, { limit: most + 1, before: cursor })
      const items = rows.slice(0, most)
      const last = items.at(-1)
      return c.json(
        {
          items: items.map(({ seq, at, tenant: _, ...entry }) => ({ id: seq, at: at.toISOString(), ...entry })),
          nextCursor: rows.length > most && last ? String(last.seq) : null,
        },
        200,
      )
    },
  )
  return app
}
