import { Readable } from 'node:stream'
import type { ReadableStream as WebStream } from 'node:stream/web'
import { challenge, deleteCommand, generationCommand, ownerHash, runtimeId, startCommand } from '@porthole/protocol'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { Logger } from 'pino'
import type { z } from 'zod'
import type { GatewayTokens } from './gateway-tokens.ts'
import { AgentError, problemOf, toAgentError } from './problems.ts'
import type { Runtimes } from './runtimes.ts'
import type { VolumeOwner, Volumes } from './volumes.ts'

const bodyBytes = 2 ** 20

/** What a host can do once it has joined. */
export type CommandDesk = { tokens: Pick<GatewayTokens, 'command'>; runtimes: Runtimes; volumes: Volumes }

/**
 * The agent's commands, for the gateway alone.
 * @param deps.desk undefined until the host has joined
 * @param deps.prove answers the gateway's challenge; undefined when this host is not joining
 */
export const createApp = (deps: {
  desk: () => CommandDesk | undefined
  prove: (nonce: string) => Promise<string | undefined>
  log: Logger
}): Hono => {
  const { prove, log } = deps
  const app = new Hono()
  const desk = (): CommandDesk => {
    const current = deps.desk()
    // Not "unauthorized": who asks has not been checked, and nothing is said of what is here.
    if (!current) throw new AgentError('keys-unavailable', { detail: 'this host has not joined a gateway yet' })
    return current
  }

  app.onError((error, c) => {
    const failure = toAgentError(error)
    const { status } = problemOf(failure)
    const line = { method: c.req.method, path: c.req.path, code: failure.code, status }
    if (status >= 500) log.warn({ ...line, err: failure.cause ?? failure }, 'command failed')
    else log.info(line, 'command refused')
    return answer(failure)
  })
  app.notFound(() => answer(new AgentError('not-found', { detail: 'there is no such route' })))
  const smallBody = bodyLimit({
    maxSize: bodyBytes,
    onError: () => answer(new AgentError('bad-request', { detail: 'the body is larger than 1 MiB' })),
  })
  // A volume is as large as it is: it is streamed, for the gateway alone.
  app.use((c, next) => (c.req.path.startsWith('/v1/volumes/') ? next() : smallBody(c, next)))

  app.get('/healthz', c => c.json({ status: 'ok' }))

  app.post('/v1/challenge', async c => {
    const { nonce } = await body(c, challenge)
    const proof = await prove(nonce)
    if (proof === undefined) throw new AgentError('not-found', { detail: 'this host is not joining' })
    return c.json({ proof })
  })

  for (const commands of ['/v1/runtimes/*', '/v1/volumes/*'])
    app.use(commands, async (c, next) => {
      const [scheme, token] = (c.req.header('authorization') ?? '').split(' ')
      await desk().tokens.command(scheme?.toLowerCase() === 'bearer' ? token : undefined)
      const startedAt = performance.now()
      await next()
      if (c.error) return
      const ms = Math.round(performance.now() - startedAt)
      log.info({ method: c.req.method, path: c.req.path, status: c.res.status, ms }, 'command')
    })

  app.get('/v1/runtimes', async c => c.json(await desk().runtimes.list()))
  app.get('/v1/runtimes/:id', async c => {
    const probe = c.req.query('probe') === '1'
    return c.json(await desk().runtimes.inspect(idOf(c), { probe }))
  })
  app.put('/v1/runtimes/:id', async c => c.json(await desk().runtimes.start(idOf(c), await body(c, startCommand))))
  app.post('/v1/runtimes/:id/stop', async c =>
    c.json(await desk().runtimes.stop(idOf(c), await body(c, generationCommand))),
  )
  for (const verb of ['pause', 'resume'] as const)
    app.post(`/v1/runtimes/:id/${verb}`, async c =>
      c.json(await desk().runtimes[verb](idOf(c), await body(c, generationCommand))),
    )
  app.delete('/v1/runtimes/:id', async c => {
    await desk().runtimes.delete(idOf(c), await body(c, deleteCommand))
    return c.body(null, 204)
  })

  app.get('/v1/volumes/:hash', async c => {
    const archive = await desk().volumes.read(volumeOf(c))
    return c.body(Readable.toWeb(archive) as ReadableStream, 200, { 'content-type': 'application/x-tar' })
  })
  app.get('/v1/volumes/:hash/digest', async c => c.json(await desk().volumes.digest(volumeOf(c))))
  app.put('/v1/volumes/:hash', async c => {
    const { body: archive } = c.req.raw
    if (!archive) throw new AgentError('bad-request', { detail: 'there is no archive in the body' })
    return c.json(await desk().volumes.write(volumeOf(c), Readable.fromWeb(archive as WebStream)))
  })
  app.delete('/v1/volumes/:hash', async c => {
    await desk().volumes.remove(volumeOf(c))
    return c.body(null, 204)
  })
  return app
}

const volumeOf = (c: Context): VolumeOwner => {
  const parsed = ownerHash.safeParse(c.req.param('hash'))
  const tenant = c.req.query('tenant')
  if (!parsed.success) throw new AgentError('not-found')
  if (!tenant || tenant.length > 64) throw new AgentError('bad-request', { detail: 'the query names no tenant' })
  return { ownerHash: parsed.data, tenant }
}

const answer = (error: AgentError): Response => {
  const problem = problemOf(error)
  return Response.json(problem, { status: problem.status, headers: { 'content-type': 'application/problem+json' } })
}

const idOf = (c: Context): string => {
  const parsed = runtimeId.safeParse(c.req.param('id'))
  if (!parsed.success) throw new AgentError('not-found')
  return parsed.data
}

/** The parsed body; a problem names the fields that don't fit and never their values. */
const body = async <T>(c: Context, schema: z.ZodType<T>): Promise<T> => {
  const text = await c.req.text()
  const parsed = schema.safeParse(jsonOr(text, undefined))
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.slice(0, 5).map(({ path, message }) => `/${path.join('/')}: ${message}`)
  throw new AgentError('bad-request', { detail: issues.join('; ') })
}

const jsonOr = (text: string, fallback: unknown): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return fallback
  }
}
