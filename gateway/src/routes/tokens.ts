import { createRoute, z } from '@hono/zod-openapi'
import { addToken, listTokens, revokeToken, type TokenRow } from '@porthole/db'
import { ulid } from 'ulid'
import type { House } from '../house.ts'
import { type Mode, modes } from '../identity/owner.ts'
import { Problem } from '../problem.ts'
import { isOperator, mintToken, scopes, tenantSlug } from '../tokens/caller.ts'
import { maxTokenSeconds } from '../tokens/issuer.ts'
import { bearer, createRouter, guard, jsonAnswer, problemAnswers } from './openapi.ts'
import { limit, pageOf, plainText } from './schemas.ts'

const scope = z.enum(scopes)

const tokenSchema = z
  .object({
    id: z.string(),
    tenant: z.string(),
    subject: z.string(),
    scopes: z.array(z.string()),
    owner: z.string().nullable(),
    mode: z.enum(modes).nullable(),
    createdAt: z.iso.datetime(),
    expiresAt: z.iso.datetime(),
    revokedAt: z.iso.datetime().nullable(),
  })
  .openapi('Token')

const mintBody = z
  .strictObject({
    scopes: z.array(scope).min(1).max(scopes.length),
    subject: plainText(256).default('').openapi({ description: 'Who will carry it; appears in the audit.' }),
    owner: plainText(512).optional().openapi({ description: 'Makes it good for this owner only.' }),
    mode: z.enum(modes).optional().openapi({ description: "The owner's mode; default docker-per-principal." }),
    tenant: tenantSlug.optional().openapi({ description: 'Another tenant: for operators.' }),
    ttl: z.int().min(1).max(maxTokenSeconds).default(86_400).openapi({ description: 'Seconds it is good for.' }),
  })
  .openapi('MintToken', { example: { scopes: ['runtimes:read', 'runtimes:write'], subject: 'ci', ttl: 3600 } })

const presentToken = (row: TokenRow): z.infer<typeof tokenSchema> => ({
  id: row.id,
  tenant: row.tenant,
  subject: row.subject,
  scopes: row.scopes,
  owner: row.owner,
  mode: row.mode as Mode | null,
  createdAt: row.createdAt.toISOString(),
  expiresAt: row.expiresAt.toISOString(),
  revokedAt: row.revokedAt?.toISOString() ?? null,
})

const refuse = (field: string, detail: string) =>
  new Problem('insufficient-scope', { detail, faults: [{ pointer: `#/${field}`, detail }] })

export const tokenRoutes = (house: House) => {
  const app = createRouter()
  const { db } = house.database

  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/tokens',
      operationId: 'mintToken',
      summary: 'Mint a token',
      description: 'It can do no more, and lives no longer, than the token it is minted with; it ends with that one.',
      tags: ['Tokens'],
      security: bearer,
      middleware: guard(house, 'tokens:write'),
      request: { body: { required: true, content: { 'application/json': { schema: mintBody } } } },
      responses: {
        201: jsonAnswer(
          'The token: it is shown this once',
          tokenSchema.extend({ token: z.string() }).openapi('MintedToken'),
        ),
        ...problemAnswers('insufficient-scope', 'not-found'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const body = c.req.valid('json')
      for (const wanted of body.scopes)
        if (!caller.scopes.has(wanted)) throw refuse('scopes', `the token itself lacks the scope ${wanted}`)
      if (body.tenant !== undefined && body.tenant !== caller.tenant && !isOperator(caller))
        throw refuse('tenant', 'only an operator mints tokens for another tenant')
      const asked =
        body.owner === undefined
          ? undefined
          : { mode: body.mode ?? ('docker-per-principal' as const), name: body.owner }
      if (caller.owner && (asked?.name !== caller.owner.name || asked.mode !== caller.owner.mode))
        throw refuse('owner', 'the token itself is good for one owner only')
      const tenant = body.tenant ?? caller.tenant
      if (!(await house.access.tenant(tenant))) throw new Problem('not-found', { detail: 'there is no such tenant' })

      const left = Math.floor(caller.expiresAt - house.now() / 1000)
      // An operator's tokens for a tenant are that tenant's: they do not end with the operator's own.
      const isOwnChild = !isOperator(caller)
      const seconds = isOwnChild ? Math.max(1, Math.min(body.ttl, left)) : body.ttl
      const row = await addToken(
        db,
        {
          id: ulid(),
          tenant,
          subject: body.subject,
          scopes: body.scopes,
          owner: asked?.name ?? null,
          mode: asked?.mode ?? null,
          parent: isOwnChild ? (caller.tokenId ?? null) : null,
        },
        seconds,
      )
      const { id: jti, subject } = row
      const token = await mintToken(house.issuer, { tenant, subject, scopes: body.scopes, owner: asked, jti }, seconds)
      return c.json({ ...presentToken(row), token }, 201)
    },
  )

  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/tokens',
      operationId: 'listTokens',
      summary: 'List tokens',
      description: 'Newest first, without the tokens themselves.',
      tags: ['Tokens'],
      security: bearer,
      middleware: guard(house, 'tokens:write'),
      request: { query: z.strictObject({ limit, cursor: plainText(64).optional() }) },
      responses: {
        200: jsonAnswer('A page', pageOf(tokenSchema, 'TokenPage')),
        ...problemAnswers('insufficient-scope'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const { limit: most, cursor } = c.req.valid('query')
      const rows = await listTokens(db, caller.tenant, caller.owner, { limit: most + 1, before: cursor })
      const items = rows.slice(0, most)
      const nextCursor = rows.length > most ? (items.at(-1)?.id ?? null) : null
      return c.json({ items: items.map(presentToken), nextCursor }, 200)
    },
  )

  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/tokens/{id}',
      operationId: 'revokeToken',
      summary: 'Revoke a token',
      description: 'And all that were minted with it. Open sockets end within two seconds, on every gateway.',
      tags: ['Tokens'],
      security: bearer,
      middleware: guard(house, 'tokens:write'),
      request: {
        params: z.object({ id: plainText(64).openapi({ param: { name: 'id', in: 'path' } }) }),
        query: z.strictObject({ tenant: tenantSlug.optional().openapi({ description: 'For operators.' }) }),
      },
      responses: { 204: { description: 'It is good no more' }, ...problemAnswers('insufficient-scope', 'not-found') },
    }),
    async c => {
      const caller = c.get('guest')
      const { tenant = caller.tenant } = c.req.valid('query')
      // Another tenant's token answers as one that does not exist.
      if (tenant !== caller.tenant && !isOperator(caller)) throw new Problem('not-found')
      const revoked = await revokeToken(db, tenant, caller.owner, c.req.valid('param').id)
      if (!revoked) throw new Problem('not-found')
      return c.body(null, 204)
    },
  )

  return app
}
