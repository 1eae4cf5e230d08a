import { createRoute, z } from '@hono/zod-openapi'
import {
  addJoinToken,
  findHost,
  type HostView,
  listHosts,
  listRuntimesOnHost,
  loseRuntimesOfRemoved,
  putHost,
  recordHeartbeat,
  removeHost,
  takeJoinToken,
  toFailedStillHeld,
} from '@porthole/db'
import { heartbeat, heartbeatAudience, joinRequest, maxLifetimeSeconds, type RuntimeFacts } from '@porthole/protocol'
import { importJWK, jwtVerify } from 'jose'
import { ulid } from 'ulid'
import { callBack } from '../agents/call-back.ts'
import type { House } from '../house.ts'
import { Problem } from '../problem.ts'
import { bearerOf } from '../tokens/caller.ts'
import { randomToken } from '../tokens/random.ts'
import { bearer, createRouter, guard, jsonAnswer, problemAnswers } from './openapi.ts'
import { hostSchema, limit, pageOf, plainText } from './schemas.ts'

const joinTokenSeconds = 300
const heartbeatMs = 5000

const presentHost = (host: HostView): z.infer<typeof hostSchema> => ({
  id: host.id,
  name: host.name,
  url: host.url,
  state: host.live ? 'live' : host.lastSeenAt ? 'unreachable' : 'new',
  schedulable: host.schedulable,
  capacity: { memoryBytes: host.memoryBytes, cpuMillis: host.cpuMillis, slots: host.slots, gpus: host.gpus },
  reserved: {
    memoryBytes: host.reservedMemoryBytes,
    cpuMillis: host.reservedCpuMillis,
    slots: host.reservedSlots,
    gpus: host.reservedGpus,
  },
  load: host.load,
  engineVersion: host.engineVersion,
  labels: host.labels,
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
      const { token, name, url, publicKey } = c.req.valid('json')
      if (!(await takeJoinToken(db, token)))
        throw new Problem('join-refused', { detail: 'the join token was used before, has expired, or never was' })
      await callBack(house.dispatcher, url.replace(/\/+$/, ''), publicKey)
      const host = { id: `host_${ulid()}`, name, url: url.replace(/\/+$/, ''), publicKey: publicKey.x }
      const hostId = await putHost(db, host)
      house.log.info({ host: hostId, name, url: host.url }, 'host joined')
      return c.json({ hostId }, 200)
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
        params: z.object({ id: plainText(64).openapi({ param: { name: 'id', in: 'path' } }) }),
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
      await loseRuntimesOfRemoved(db)
      house.log.info({ host: id, runtimes, profiles }, 'host removed')
      return c.body(null, 204)
    },
  )

  /** @throws Problem `unauthorized` unless the token was signed by this host, for us, just now. */
  const checkHost = async (id: string, authorization: string | undefined) => {
    const token = bearerOf(authorization)
    const host = await findHost(db, id)
    if (!token || !host) throw new Problem('unauthorized', { detail: 'no such host, or no token of it' })
    try {
      const key = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: host.publicKey }, 'EdDSA')
      await jwtVerify(token, key, {
        issuer: id,
        audience: heartbeatAudience,
        algorithms: ['EdDSA'],
        maxTokenAge: maxLifetimeSeconds,
        // Hosts' clocks stray; the time of a heartbeat itself is the database's.
        clockTolerance: 30,
      })
    } catch (cause) {
      throw new Problem('unauthorized', { detail: 'the token is not valid for this host', cause })
    }
  }

  /** A container that its host saw end is no longer running: its capacity is freed, and the owner told why. */
  const noteEnded = async (hostId: string, seen: RuntimeFacts[]) => {
    const ended = new Map(seen.filter(facts => facts.state === 'exited').map(facts => [facts.id, facts]))
    if (ended.size === 0) return
    for (const row of await listRuntimesOnHost(db, hostId)) {
      const facts = ended.get(row.id)
      if (facts?.generation !== row.generation || row.state !== 'running') continue
      const detail = `its container ended with exit code ${facts.exitCode ?? 'unknown'}`
      await toFailedStillHeld(db, row, {
        code: 'runtime-failed',
        detail,
        ...(facts.exitCode === undefined ? {} : { exitCode: facts.exitCode }),
      })
    }
  }

  app.post('/v1/hosts/:id/heartbeat', async c => {
    const id = c.req.param('id')
    await checkHost(id, c.req.header('authorization'))
    const parsed = heartbeat.safeParse(await c.req.json().catch(() => undefined))
    if (!parsed.success) throw new Problem('invalid-request', { detail: 'the heartbeat does not fit its schema' })
    const { capacity, load, engineVersion, images, labels, runtimes } = parsed.data
    const isMember = await recordHeartbeat(db, id, { ...capacity, load, engineVersion, images, labels })
    if (!isMember) throw new Problem('unauthorized', { detail: 'the host was removed' })
    await noteEnded(id, runtimes ?? [])
    return c.json({ nextMs: heartbeatMs })
  })

  return app
}
