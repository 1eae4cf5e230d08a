import { createRoute, z } from '@hono/zod-openapi'
import {
  addIssuer,
  addTenant,
  atCapPolicies,
  findTenant,
  listIssuers,
  listTenants,
  removeIssuer,
  type TenantRow,
  updateTenant,
  warmTenant,
} from '@porthole/db'
import { ulid } from 'ulid'
import type { House } from '../house.ts'
import { type Mode, modes } from '../identity/owner.ts'
import { Problem } from '../problem.ts'
import { tenantScopes, tenantSlug } from '../tokens/caller.ts'
import { bearer, createRouter, guard, jsonAnswer, problemAnswers } from './openapi.ts'
import { limit, modeField, pageOf, plainText } from './schemas.ts'

const int4 = 2_147_483_647
const count = (max: number) => z.int().min(0).max(max).nullable()

/** `https://app.example.com`: no path, no wildcard. */
const origin = plainText(256).refine(
  value => URL.canParse(value) && new URL(value).origin === value && /^https?:/.test(value),
  'is not an origin like https://app.example.com',
)

const settings = {
  mode: modeField.optional(),
  frameAncestors: z.array(origin).max(32).optional().openapi({ description: 'Origins that may frame live views.' }),
  maxRuntimes: count(int4).optional().openapi({ description: 'Runtimes at a time; null: no limit.' }),
  maxMemoryBytes: count(Number.MAX_SAFE_INTEGER).optional(),
  maxCpuMillis: count(int4).optional(),
  createsPerMinute: count(1_000_000).optional(),
  atCap: z.enum(atCapPolicies).optional().openapi({
    description:
      'For a runtime that has no room in the quota: reject it, let it queue for as long as its request waits, or pause the one used longest ago.',
  }),
  queueLimit: z.int().min(0).max(10_000).optional().openapi({ description: 'Most that wait in line.' }),
}

const tenantSchema = z
  .object({
    slug: z.string(),
    mode: z.enum(modes),
    suspended: z.boolean(),
    frameAncestors: z.array(z.string()),
    maxRuntimes: z.int().nullable(),
    maxMemoryBytes: z.int().nullable(),
    maxCpuMillis: z.int().nullable(),
    createsPerMinute: z.int().nullable(),
    atCap: z.enum(atCapPolicies),
    queueLimit: z.int(),
    used: z.object({ runtimes: z.int(), memoryBytes: z.int(), cpuMillis: z.int() }),
    createdAt: z.iso.datetime(),
  })
  .openapi('Tenant')

const present = (row: TenantRow): z.infer<typeof tenantSchema> => ({
  slug: row.slug,
  mode: row.mode as Mode,
  suspended: row.suspendedAt !== null,
  frameAncestors: row.frameAncestors,
  maxRuntimes: row.maxRuntimes,
  maxMemoryBytes: row.maxMemoryBytes,
  maxCpuMillis: row.maxCpuMillis,
  createsPerMinute: row.createsPerMinute,
  atCap: row.atCap,
  queueLimit: row.queueLimit,
  used: { runtimes: row.usedRuntimes, memoryBytes: row.usedMemoryBytes, cpuMillis: row.usedCpuMillis },
  createdAt: row.createdAt.toISOString(),
})

const issuerSchema = z
  .object({
    id: z.string(),
    issuer: z.string(),
    jwksUrl: z.string(),
    audience: z.string(),
    algorithms: z.array(z.string()),
    claims: z.object({
      subject: z.string().optional(),
      owner: z.string().optional(),
      mode: z.enum(modes).optional(),
      scope: z.string().optional(),
      scopes: z.array(z.string()),
    }),
  })
  .openapi('Issuer')

/** Signatures by a key pair only: a shared secret would make every holder an issuer. */
const algorithms = [
  'EdDSA',
  'Ed25519',
  'ES256',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
] as const

const isLoopback = ({ hostname }: URL) => ['localhost', '127.0.0.1', '[::1]'].includes(hostname)
const keysUrl = plainText(2048).refine(value => {
  const url = URL.canParse(value) ? new URL(value) : undefined
  return url?.username === '' && (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url)))
}, 'is not an https URL')

const claimName = plainText(128).min(1)
const issuerBody = z
  .strictObject({
    issuer: plainText(2048).min(1).openapi({ description: 'The `iss` claim, exactly.' }),
    jwksUrl: keysUrl,
    audience: plainText(256).min(1),
    algorithms: z.array(z.enum(algorithms)).min(1).default(['RS256', 'ES256', 'EdDSA']),
    claims: z
      .strictObject({
        subject: claimName.optional(),
        owner: claimName.optional(),
        mode: z.enum(modes).optional(),
        scope: claimName.optional(),
        scopes: z.array(z.enum(tenantScopes as [string, ...string[]])).min(1),
      })
      .openapi({ description: 'Which claims hold what, and what its tokens may do at most.' }),
  })
  .openapi('TrustIssuer')

const slugParam = z.object({
  slug: plainText(64)
    .refine(slug => slug !== warmTenant, 'is no tenant: warm runtimes are booked on it')
    .openapi({ param: { name: 'slug', in: 'path' } }),
})

export const tenantRoutes = (house: House) => {
  const app = createRouter()
  const { db } = house.database
  const common = { tags: ['Tenants'], security: bearer, middleware: guard(house, 'tenants:admin') }

  app.openapi(
    createRoute({
      ...common,
      method: 'post',
      path: '/v1/tenants',
      operationId: 'createTenant',
      summary: 'Create a tenant',
      request: {
        body: {
          required: true,
          content: {
            'application/json': { schema: z.strictObject({ slug: tenantSlug, ...settings }).openapi('NewTenant') },
          },
        },
      },
      responses: {
        201: jsonAnswer('Created', tenantSchema),
        ...problemAnswers('insufficient-scope', 'tenant-exists'),
      },
    }),
    async c => {
      const row = await addTenant(db, c.req.valid('json'))
      if (!row) throw new Problem('tenant-exists')
      return c.json(present(row), 201)
    },
  )

  app.openapi(
    createRoute({
      ...common,
      method: 'get',
      path: '/v1/tenants',
      operationId: 'listTenants',
      summary: 'List tenants',
      request: { query: z.strictObject({ limit, cursor: plainText(64).optional() }) },
      responses: {
        200: jsonAnswer('A page', pageOf(tenantSchema, 'TenantPage')),
        ...problemAnswers('insufficient-scope'),
      },
    }),
    async c => {
      const { limit: most, cursor } = c.req.valid('query')
      const rows = await listTenants(db, { limit: most + 1, after: cursor })
      const items = rows.slice(0, most)
      const nextCursor = rows.length > most ? (items.at(-1)?.slug ?? null) : null
      return c.json({ items: items.map(present), nextCursor }, 200)
    },
  )

  app.openapi(
    createRoute({
      ...common,
      method: 'get',
      path: '/v1/tenants/{slug}',
      operationId: 'getTenant',
      summary: 'Get a tenant',
      request: { params: slugParam },
      responses: {
        200: jsonAnswer('The tenant, and what it uses', tenantSchema),
        ...problemAnswers('insufficient-scope', 'not-found'),
      },
    }),
    async c => {
      const row = await findTenant(db, c.req.valid('param').slug)
      if (!row) throw new Problem('not-found')
      return c.json(present(row), 200)
    },
  )

  app.openapi(
    createRoute({
      ...common,
      method: 'patch',
      path: '/v1/tenants/{slug}',
      operationId: 'updateTenant',
      summary: 'Change, suspend or resume a tenant',
      description: 'A suspended tenant is refused on every gateway within two seconds, and its open sockets end.',
      request: {
        params: slugParam,
        body: {
          required: true,
          content: {
            'application/json': {
              schema: z.strictObject({ suspended: z.boolean().optional(), ...settings }).openapi('TenantChange'),
            },
          },
        },
      },
      responses: {
        200: jsonAnswer('The tenant as it is now', tenantSchema),
        ...problemAnswers('insufficient-scope', 'not-found'),
      },
    }),
    async c => {
      const row = await updateTenant(db, c.req.valid('param').slug, c.req.valid('json'))
      if (!row) throw new Problem('not-found')
      return c.json(present(row), 200)
    },
  )

  app.openapi(
    createRoute({
      ...common,
      method: 'post',
      path: '/v1/tenants/{slug}/issuers',
      operationId: 'trustIssuer',
      summary: "Trust a tenant's own token issuer",
      request: {
        params: slugParam,
        body: { required: true, content: { 'application/json': { schema: issuerBody } } },
      },
      responses: {
        201: jsonAnswer('Its tokens are taken from now on', issuerSchema),
        ...problemAnswers('insufficient-scope', 'not-found', 'issuer-taken'),
      },
    }),
    async c => {
      const { slug: tenant } = c.req.valid('param')
      if (!(await findTenant(db, tenant))) throw new Problem('not-found')
      const body = c.req.valid('json')
      // Ours is built in: nobody else may speak in its name.
      const row = body.issuer === 'porthole' ? undefined : await addIssuer(db, { ...body, id: `is_${ulid()}`, tenant })
      if (!row) throw new Problem('issuer-taken')
      return c.json(row, 201)
    },
  )

  app.openapi(
    createRoute({
      ...common,
      method: 'get',
      path: '/v1/tenants/{slug}/issuers',
      operationId: 'listIssuers',
      summary: "List a tenant's issuers",
      request: { params: slugParam },
      responses: {
        200: jsonAnswer('All of them', pageOf(issuerSchema, 'IssuerPage')),
        ...problemAnswers('insufficient-scope'),
      },
    }),
    async c => c.json({ items: await listIssuers(db, c.req.valid('param').slug), nextCursor: null }, 200),
  )

  app.openapi(
    createRoute({
      ...common,
      method: 'delete',
      path: '/v1/tenants/{slug}/issuers/{id}',
      operationId: 'distrustIssuer',
      summary: 'Trust an issuer no more',
      request: {
        params: slugParam.extend({ id: plainText(64).openapi({ param: { name: 'id', in: 'path' } }) }),
      },
      responses: {
        204: { description: 'Its tokens are good no more' },
        ...problemAnswers('insufficient-scope', 'not-found'),
      },
    }),
    async c => {
      const { slug, id } = c.req.valid('param')
      if (!(await removeIssuer(db, slug, id))) throw new Problem('not-found')
      return c.body(null, 204)
    },
  )

  return app
}
