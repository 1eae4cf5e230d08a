import { createRoute, z } from '@hono/zod-openapi'
import {
  addTicket,
  findRuntime,
  listRuntimes,
  type RuntimeRow,
  type RuntimeState,
  runtimeStates,
  touch,
} from '@porthole/db'
import { portTicketOf, viewTicket } from '../edge/ticket-links.ts'
import { type Guest, type House, isTheirs } from '../house.ts'
import { Problem } from '../problem.ts'
import { allowanceHeaders } from '../runtimes/conductor.ts'
import { presentRuntime } from '../runtimes/present.ts'
import { idleAsked, wantedFrom } from '../runtimes/wanted.ts'
import { randomToken } from '../tokens/random.ts'
import { idempotent } from './idempotency.ts'
import { bearer, createRouter, guard, jsonAnswer, problemAnswers } from './openapi.ts'
import { ensureBody, limit, pageOf, plainText, runtimeIdParam, runtimeSchema } from './schemas.ts'

/** Seconds that stop and delete wait for the host before they answer 202. */
const verbWaitSeconds = 20
const maxTicketSeconds = 60
/** What a create may take longer than its `wait`, before whoever repeats it with its key is let do it in its place. */
const slackSeconds = 30

const labelFilter = z
  .union([plainText(400), z.array(plainText(400)).max(16)])
  .optional()
  .openapi({ type: 'array', items: { type: 'string' }, description: 'key=value; several must all match.' })

/** `["team=a", "env=dev"]` as an object. */
const parseLabels = (given: string | string[] | undefined) => {
  if (given === undefined) return undefined
  return Object.fromEntries(
    [given].flat().map(pair => {
      const at = pair.indexOf('=')
      if (at < 1)
        throw new Problem('invalid-request', {
          detail: 'a label filter is key=value',
          faults: [{ pointer: '#/label', detail: `${JSON.stringify(pair)} is not key=value` }],
        })
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

/** Whose keys: a token that is bound to an owner has its own, and is never shown an answer given to another. */
const callerKey = ({ tenant, owner }: Guest) => [tenant, owner?.mode ?? '', owner?.name ?? '']

/** What each verb is said to do, how long it is waited for, and where it has succeeded. */
const verbs: Record<'start' | 'stop' | 'pause' | 'resume', { summary: string; seconds: number; done: RuntimeState[] }> =
  {
    start: { summary: 'Start a stopped runtime', seconds: 45, done: ['running'] },
    stop: {
      summary: 'Stop a runtime and keep its profile',
      seconds: verbWaitSeconds,
      done: ['stopped', 'failed', 'lost'],
    },
    pause: { summary: 'Freeze a running runtime and keep its memory', seconds: verbWaitSeconds, done: ['paused'] },
    resume: { summary: 'Let a paused runtime go on', seconds: 45, done: ['running'] },
  }

export const runtimeRoutes = (house: House) => {
  const app = createRouter()
  const { db } = house.database
  const present = (row: RuntimeRow) => presentRuntime(house, row)

  /** The caller's runtime. @throws Problem `not-found`, `gone` */
  const find = async (caller: Guest, id: string, { deletedToo = false } = {}): Promise<RuntimeRow> => {
    const row = await findRuntime(db, caller.tenant, id)
    if (!isTheirs(caller, row)) throw new Problem('not-found')
    if (row.state === 'deleted' && !deletedToo) throw new Problem('gone')
    return row
  }

  /** The caller's runtime, used by what they ask of it. @throws Problem `not-found`, `gone` */
  const use = async (caller: Guest, id: string): Promise<RuntimeRow> => {
    const used = await touch(db, (await find(caller, id)).id)
    if (!used) throw new Problem('gone')
    return used
  }

  app.openapi(
    createRoute({
      method: 'post',
      middleware: guard(house, 'runtimes:write'),
      path: '/v1/runtimes',
      operationId: 'ensureRuntime',
      summary: "Ensure the owner's runtime",
      description: "Gives the owner's runtime, ready to use: the one there is, started if it has to be, or a new one.",
      tags: ['Runtimes'],
      security: bearer,
      request: {
        headers: z.object({ 'idempotency-key': z.string().min(1).max(255).optional() }),
        body: { required: true, content: { 'application/json': { schema: ensureBody } } },
      },
      responses: {
        200: jsonAnswer('It was there', runtimeSchema),
        201: jsonAnswer('It is new', runtimeSchema),
        202: jsonAnswer('It is not ready yet', runtimeSchema),
        ...problemAnswers(
          'insufficient-scope',
          'spec-not-found',
          'owner-hash-taken',
          'idempotency-mismatch',
          'runtime-failed',
          'no-capacity',
          'start-timeout',
        ),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const body = c.req.valid('json')
      const key = c.req.valid('header')['idempotency-key']
      // Before the replay: what it was answered with is for that owner only.
      const wanted = await wantedFrom(caller, caller.row, body, house)
      const answer = await idempotent(db, callerKey(caller), key, body, body.wait + slackSeconds, async () => {
        const { row, created, allowance } = await house.conductor.ensure(wanted, body.wait * 1000, {
          freshProfile: body.profile === 'fresh',
          idle: idleAsked(body, house.specs),
        })
        for (const [name, value] of Object.entries(allowance ? allowanceHeaders(allowance) : {})) c.header(name, value)
        const isReady = row.state === 'running' || row.state === 'paused'
        return { status: isReady ? (created ? 201 : 200) : 202, body: present(row) }
      })
      if (answer.replayed) c.header('idempotency-replayed', 'true')
      c.header('location', `${house.base}/v1/runtimes/${answer.body.id}`)
      return c.json(answer.body, answer.status)
    },
  )

  app.openapi(
    createRoute({
      method: 'get',
      middleware: guard(house, 'runtimes:read'),
      path: '/v1/runtimes',
      operationId: 'listRuntimes',
      summary: 'List runtimes',
      description: 'Newest first. Deleted ones are listed only with state=deleted.',
      tags: ['Runtimes'],
      security: bearer,
      request: {
        query: z.strictObject({
          state: z
            .string()
            .optional()
            .transform(value => value?.split(','))
            .pipe(z.array(z.enum(runtimeStates)).optional())
            .openapi({ type: 'string', description: 'One state, or several with commas.', example: 'running,paused' }),
          owner: plainText(512).optional(),
          spec: plainText(64).optional(),
          label: labelFilter,
          limit,
          cursor: plainText(64).optional(),
        }),
      },
      responses: {
        200: jsonAnswer('A page', pageOf(runtimeSchema, 'RuntimePage')),
        ...problemAnswers('insufficient-scope'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const { state, owner, spec, label, limit: most, cursor } = c.req.valid('query')
      // An owner's token lists that owner's runtimes; asked for another's it lists none.
      if (caller.owner !== undefined && owner !== undefined && owner !== caller.owner.name)
        return c.json({ items: [], nextCursor: null }, 200)
      const rows = await listRuntimes(
        db,
        caller.tenant,
        { state, owner: caller.owner?.name ?? owner, mode: caller.owner?.mode, spec, labels: parseLabels(label) },
        { limit: most + 1, before: cursor },
      )
      const items = rows.slice(0, most)
      const nextCursor = rows.length > most ? (items.at(-1)?.id ?? null) : null
      return c.json({ items: items.map(present), nextCursor }, 200)
    },
  )

  app.openapi(
    createRoute({
      method: 'get',
      middleware: guard(house, 'runtimes:read'),
      path: '/v1/runtimes/{id}',
      operationId: 'getRuntime',
      summary: 'Get a runtime',
      tags: ['Runtimes'],
      security: bearer,
      request: { params: runtimeIdParam },
      responses: {
        200: jsonAnswer('The runtime', runtimeSchema),
        ...problemAnswers('insufficient-scope', 'not-found', 'gone'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      return c.json(present(await find(caller, c.req.valid('param').id)), 200)
    },
  )

  app.openapi(
    createRoute({
      method: 'get',
      middleware: guard(house, 'runtimes:read'),
      path: '/v1/runtimes/{id}/wait',
      operationId: 'waitForRuntime',
      summary: 'Wait for a state',
      tags: ['Runtimes'],
      security: bearer,
      request: {
        params: runtimeIdParam,
        query: z.strictObject({
          state: z.enum(runtimeStates).default('running'),
          timeout: z.coerce.number().min(0).max(300).default(45).openapi({ description: 'Seconds.' }),
        }),
      },
      responses: {
        200: jsonAnswer('It is in that state', runtimeSchema),
        ...problemAnswers('insufficient-scope', 'not-found', 'wait-timeout'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const row = await find(caller, c.req.valid('param').id, { deletedToo: true })
      const { state, timeout } = c.req.valid('query')
      const signal = c.req.raw.signal
      const isThere = (now: RuntimeRow) => now.state === state || now.state === 'deleted'
      const reached = await house.changes.until(row.id, isThere, timeout * 1000, signal)
      if (reached?.state === state) return c.json(present(reached), 200)
      // Nothing follows `deleted`: no use in waiting on.
      if (reached) throw new Problem('gone')
      throw new Problem('wait-timeout', { detail: `it was not ${state} within ${timeout} s` })
    },
  )

  for (const verb of ['start', 'stop', 'pause', 'resume'] as const)
    app.openapi(
      createRoute({
        method: 'post',
        middleware: guard(house, 'runtimes:write'),
        path: `/v1/runtimes/{id}/${verb}`,
        operationId: `${verb}Runtime`,
        summary: verbs[verb].summary,
        tags: ['Runtimes'],
        security: bearer,
        request: { params: runtimeIdParam },
        responses: {
          200: jsonAnswer('Done', runtimeSchema),
          202: jsonAnswer('Under way', runtimeSchema),
          ...problemAnswers('insufficient-scope', 'not-found', 'gone', 'no-capacity', 'runtime-failed'),
        },
      }),
      async c => {
        const caller = c.get('guest')
        const { id } = c.req.valid('param')
        // A start counts as use by itself.
        const row = await (verb === 'start' ? find(caller, id) : use(caller, id))
        const { seconds, done } = verbs[verb]
        const now = await house.conductor[verb](row, seconds * 1000)
        return c.json(present(now), done.includes(now.state) ? 200 : 202)
      },
    )

  app.openapi(
    createRoute({
      method: 'post',
      middleware: guard(house, 'runtimes:write'),
      path: '/v1/runtimes/{id}/touch',
      operationId: 'touchRuntime',
      summary: 'Count a runtime as used',
      description:
        'Puts off what its idle rules do to it, and wakes nothing. Every call that does something to a runtime counts as use; to look at it does not.',
      tags: ['Runtimes'],
      security: bearer,
      request: { params: runtimeIdParam },
      responses: {
        200: jsonAnswer('The runtime, used just now', runtimeSchema),
        ...problemAnswers('insufficient-scope', 'not-found', 'gone'),
      },
    }),
    async c => c.json(present(await use(c.get('guest'), c.req.valid('param').id)), 200),
  )

  app.openapi(
    createRoute({
      method: 'delete',
      middleware: guard(house, 'runtimes:write'),
      path: '/v1/runtimes/{id}',
      operationId: 'deleteRuntime',
      summary: 'Delete a runtime',
      description: 'Its profile is kept, except in docker-per-task mode or when profile=delete asks otherwise.',
      tags: ['Runtimes'],
      security: bearer,
      request: {
        params: runtimeIdParam,
        query: z.strictObject({ profile: z.enum(['keep', 'delete']).default('keep') }),
      },
      responses: {
        202: jsonAnswer('Its host is away; it goes when the host is back', runtimeSchema),
        204: { description: 'Nothing is left of it' },
        ...problemAnswers('insufficient-scope', 'not-found'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const row = await find(caller, c.req.valid('param').id, { deletedToo: true })
      const removeVolume = row.mode === 'docker-per-task' || c.req.valid('query').profile === 'delete'
      const now = await house.conductor.remove(row, removeVolume, verbWaitSeconds * 1000)
      return now.state === 'deleted' ? c.body(null, 204) : c.json(present(now), 202)
    },
  )

  app.openapi(
    createRoute({
      method: 'post',
      middleware: guard(house, 'runtimes:connect'),
      path: '/v1/runtimes/{id}/tickets',
      operationId: 'createTicket',
      summary: "Make a link for a person's browser",
      description: 'The link works once, within its time, and opens the live view, or a named port.',
      tags: ['Runtimes'],
      security: bearer,
      request: {
        params: runtimeIdParam,
        body: {
          required: true,
          content: {
            'application/json': {
              schema: z
                .strictObject({
                  access: z.enum(['control', 'view']).default('control'),
                  port: plainText(31).optional().openapi({
                    description: 'A named port to open instead of the view; it must have a host name of its own.',
                  }),
                  ttl: z.int().min(1).max(maxTicketSeconds).default(maxTicketSeconds).openapi({
                    description: 'Seconds until it can no longer be used.',
                  }),
                })
                .openapi('TicketRequest'),
            },
          },
        },
      },
      responses: {
        201: jsonAnswer(
          'The link',
          z
            .object({ url: z.string(), access: z.enum(['control', 'view']), expiresAt: z.iso.datetime() })
            .openapi('Ticket'),
        ),
        ...problemAnswers('insufficient-scope', 'not-found', 'gone'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const row = await use(caller, c.req.valid('param').id)
      const { access, port, ttl } = c.req.valid('json')
      const token = randomToken('tk')
      const { tenant, ownerHash } = row
      const ticket = {
        tenant,
        runtimeId: row.id,
        ownerHash,
        access,
        subject: caller.subject,
        tokenId: caller.tokenId ?? null,
        issuerId: caller.issuerId ?? null,
        goodUntil: new Date(caller.expiresAt * 1000),
      }
      const opened = port === undefined ? viewTicket(house, row, token) : portTicketOf(house, row, port, access, token)
      const expiresAt = await addTicket(db, opened.key, ticket, ttl)
      return c.json({ url: opened.url, access, expiresAt: expiresAt.toISOString() }, 201)
    },
  )

  return app
}
