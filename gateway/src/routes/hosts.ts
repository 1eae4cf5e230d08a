import { createRoute, z } from '@hono/zod-openapi'
import {
  addJoinToken,
  countLeft,
  drainHost,
  findHost,
  type HostView,
  listHosts,
  loseRuntimesOfRemoved,
  putHost,
  removeHost,
  setSchedulable,
  takeJoinToken,
} from '@porthole/db'
import { joinRequest } from '@porthole/protocol'
import { ulid } from 'ulid'
import { advertisedBy } from '../agents/advertised.ts'
import { callBack } from '../agents/call-back.ts'
import type { House } from '../house.ts'
import { Problem } from '../problem.ts'
import { randomToken } from '../tokens/random.ts'
import { demandFrom, explainAnswer, explainBody } from './explain.ts'
import { bearer, createRouter, guard, jsonAnswer, problemAnswers } from './openapi.ts'
import { hostSchema, limit, pageOf, plainText } from './schemas.ts'
import { tellTime } from './tell-time.ts'

const joinTokenSeconds = 300
/** Hosts told of in one explanation. */
const maxExplained = 1000

const hostDetail = hostSchema.extend({ left: z.object({ runtimes: z.int(), profiles: z.int() }) }).openapi('HostDetail')

const hostParam = z.object({ id: plainText(64).openapi({ param: { name: 'id', in: 'path' } }) })

const presentHost = (host: HostView): z.infer<typeof hostSchema> => ({
  id: host.id,
  name: host.name,
  url: host.url,
  state: host.live ? 'live' : host.lost ? 'lost' : host.lastSeenAt ? 'unreachable' : 'new',
  schedulable: host.schedulable,
  capacity: { memoryBytes: host.memoryBytes, cpuMillis: host.cpuMillis, slots: host.slots, gpus: host.gpus },
  reserved: {
    memoryBytes: host.reservedMemoryBytes,
    cpuMillis: host.reservedCpuMillis,
    slots: host.reservedSlots,
    gpus: host.reservedGpus,
  },
  load: host.load,
  diskFreeBytes: host.diskFreeBytes,
  engineVersion: host.engineVersion,
  labels: host.labels,
  drainUntil: host.drainUntil?.toISOString() ?? null,
  lastSeenAt: host.lastSeenAt?.toISOString() ?? null,
})

export const hostRoutes = (house: House) => {
  const app = createRouter()
  const { db } = house.database

  app.openapi(
    createRoute({
      method: 'get',
      middleware: guard(house, 'hosts:admin'),
      path: '/v1/hosts',
      operationId: 'listHosts',
      summary: 'List hosts',
      tags: ['Hosts'],
      security: bearer,
      request: { query: z.strictObject({ limit, cursor: plainText(64).optional() }) },
      responses: {
        200: jsonAnswer('A page', pageOf(hostSchema, 'HostPage')),
        ...problemAnswers('insufficient-scope'),
      },
    }),
    async c => {
      const { limit: most, cursor } = c.req.valid('query')
      const rows = await listHosts(db, { limit: most + 1, after: cursor })
      const items = rows.slice(0, most)
      const nextCursor = rows.length > most ? (items.at(-1)?.id ?? null) : null
      return c.json({ items: items.map(presentHost), nextCursor }, 200)
    },
  )

  app.openapi(
    createRoute({
      method: 'post',
      middleware: guard(house, 'hosts:admin'),
      path: '/v1/hosts/join-tokens',
      operationId: 'createJoinToken',
      summary: 'Make a token with which one host can join',
      tags: ['Hosts'],
      security: bearer,
      responses: {
        201: jsonAnswer(
          'The token, good once and for five minutes',
          z.object({ token: z.string(), expiresAt: z.iso.datetime() }).openapi('JoinToken'),
        ),
        ...problemAnswers('insufficient-scope'),
      },
    }),
    async c => {
      const caller = c.get('guest')
      const token = randomToken('jt')
      const expiresAt = await addJoinToken(db, token, caller.subject, joinTokenSeconds)
      return c.json({ token, expiresAt: expiresAt.toISOString() }, 201)
    },
  )

  app.openapi(
    createRoute({
      method: 'post',
      middleware: tellTime(house),
      path: '/v1/hosts/join',
      operationId: 'joinHost',
      summary: 'Join as a host (for agents)',
      tags: ['Hosts'],
      request: { body: { required: true, content: { 'application/json': { schema: joinRequest } } } },
      responses: {
        200: jsonAnswer('Admitted', z.object({ hostId: z.string() }).openapi('JoinedHost')),
        ...problemAnswers('join-refused'),
      },
    }),
    async c => {
      const { token, name, publicKey, ...said } = c.req.valid('json')
      const peer = advertisedBy(said, house.allowPlainAgents)
      if (!(await takeJoinToken(db, token)))
        throw new Problem('join-refused', { detail: 'the join token was used before, has expired, or never was' })
      await callBack(house.connections, peer, publicKey)
      const hostId = await putHost(db, { id: `host_${ulid()}`, name, ...peer, publicKey: publicKey.x })
      house.routes.forgetHost(hostId)
      house.log.info({ host: hostId, name, url: peer.url, pinned: peer.certificate !== null }, 'host joined')
      return c.json({ hostId }, 200)
    },
  )

  app.openapi(
    createRoute({
      method: 'get',
      middleware: guard(house, 'hosts:admin'),
      path: '/v1/hosts/{id}',
      operationId: 'getHost',
      summary: 'Get a host',
      tags: ['Hosts'],
      security: bearer,
      request: { params: hostParam },
      responses: { 200: jsonAnswer('The host', hostDetail), ...problemAnswers('insufficient-scope', 'not-found') },
    }),
    async c => {
      const host = await findHost(db, c.req.valid('param').id)
      if (!host) throw new Problem('not-found')
      return c.json({ ...presentHost(host), left: await countLeft(db, host.id) }, 200)
    },
  )

  app.openapi(
    createRoute({
      method: 'post',
      middleware: guard(house, 'hosts:admin'),
      path: '/v1/hosts/{id}/drain',
      operationId: 'drainHost',
      summary: 'Empty a host',
      description:
        'Nothing more is placed there. Runtimes have until the deadline to end by themselves, then they are stopped; idle profiles move to other hosts, where their owners go on. Ask for the host to see what is left; uncordon ends it.',
      tags: ['Hosts'],
      security: bearer,
      request: {
        params: hostParam,
        body: {
          required: true,
          content: {
            'application/json': {
              schema: z
                .strictObject({
                  deadline: z.int().min(0).max(604_800).default(300).openapi({ description: 'Seconds.' }),
                })
                .openapi('DrainHost'),
            },
          },
        },
      },
      responses: { 202: jsonAnswer('Under way', hostDetail), ...problemAnswers('insufficient-scope', 'not-found') },
    }),
    async c => {
      const { id } = c.req.valid('param')
      const host = (await drainHost(db, id, c.req.valid('json').deadline)) ? await findHost(db, id) : undefined
      if (!host) throw new Problem('not-found')
      return c.json({ ...presentHost(host), left: await countLeft(db, id) }, 202)
    },
  )

  for (const [verb, summary] of [
    ['cordon', 'Place nothing more on a host; what runs there goes on'],
    ['uncordon', 'Place runtimes on a host again'],
  ] as const)
    app.openapi(
      createRoute({
        method: 'post',
        middleware: guard(house, 'hosts:admin'),
        path: `/v1/hosts/{id}/${verb}`,
        operationId: `${verb}Host`,
        summary,
        tags: ['Hosts'],
        security: bearer,
        request: { params: hostParam },
        responses: { 200: jsonAnswer('Done', hostSchema), ...problemAnswers('insufficient-scope', 'not-found') },
      }),
      async c => {
        const { id } = c.req.valid('param')
        const host = (await setSchedulable(db, id, verb === 'uncordon')) ? await findHost(db, id) : undefined
        if (!host) throw new Problem('not-found')
        return c.json(presentHost(host), 200)
      },
    )

  app.openapi(
    createRoute({
      method: 'post',
      middleware: guard(house, 'hosts:admin'),
      path: '/v1/hosts/explain',
      operationId: 'explainPlacement',
      summary: 'Say where a runtime would be placed, and why not elsewhere',
      description: 'A dry run: best host first, and nothing is reserved.',
      tags: ['Hosts'],
      security: bearer,
      request: { body: { required: true, content: { 'application/json': { schema: explainBody } } } },
      responses: {
        200: jsonAnswer('How each host stands', explainAnswer),
        ...problemAnswers('insufficient-scope', 'spec-not-found'),
      },
    }),
    async c => {
      const explained = await house.placement.explain(
        demandFrom(c.req.valid('json'), house.placement.policy, house.specs),
      )
      const hosts = explained.slice(0, maxExplained).map(({ host, score, reason }) => ({
        id: host.id,
        name: host.name,
        fits: reason === undefined,
        score,
        ...(reason ? { reason: reason.why, mayWait: !reason.never } : {}),
      }))
      return c.json({ chosen: hosts.find(({ fits }) => fits)?.id ?? null, total: explained.length, hosts }, 200)
    },
  )

  app.openapi(
    createRoute({
      method: 'delete',
      middleware: guard(house, 'hosts:admin'),
      path: '/v1/hosts/{id}',
      operationId: 'removeHost',
      summary: 'Remove a host',
      description:
        'Cuts it off at once: what it signs is refused, and its open views close. Refused while runtimes or profiles are left on it, unless forced; then its runtimes are lost and its profiles forgotten.',
      tags: ['Hosts'],
      security: bearer,
      request: {
        params: hostParam,
        query: z.strictObject({ force: z.enum(['true', 'false']).default('false') }),
      },
      responses: {
        204: { description: 'It is no host any more' },
        ...problemAnswers('insufficient-scope', 'not-found', 'host-in-use'),
      },
    }),
    async c => {
      const { id } = c.req.valid('param')
      const result = await removeHost(db, id, { force: c.req.valid('query').force === 'true' })
      if (!result) throw new Problem('not-found')
      const { removed, runtimes, profiles } = result
      if (!removed)
        throw new Problem('host-in-use', {
          detail: `${runtimes} runtimes and ${profiles} profiles are on it and would be lost: delete them first, or add force=true`,
          members: { runtimes, profiles },
        })
      house.routes.forgetHost(id)
      await loseRuntimesOfRemoved(db)
      house.log.info({ host: id, runtimes, profiles }, 'host removed')
      return c.body(null, 204)
    },
  )

  return app
}
