import type { Relay } from '@porthole/protocol/relay'
import type { Limits } from './config.ts'
import { bodyBound, bodyDeadline, shallowJson } from './edge/bodies.ts'
import { edgeRoutes } from './edge/http.ts'
import { demandPlain } from './edge/plain-request.ts'
import { createPortRoutes } from './edge/port-routes.ts'
import { viewRoutes } from './edge/view.ts'
import type { House } from './house.ts'
import { toProblem } from './http-problem.ts'
import { Problem } from './problem.ts'
import { createRequestIds } from './request-ids.ts'
import { auditRoutes, recordCalls } from './routes/audit.ts'
import { connectionRoutes } from './routes/connections.ts'
import { eventRoutes } from './routes/events.ts'
import { healthRoutes } from './routes/health.ts'
import { heartbeatRoutes } from './routes/heartbeat.ts'
import { hostRoutes } from './routes/hosts.ts'
import { lateHeader } from './routes/late-header.ts'
import { createRouter } from './routes/openapi.ts'
import { pageRoutes } from './routes/pages.ts'
import { runtimeRoutes } from './routes/runtimes.ts'
import { tenantRoutes } from './routes/tenants.ts'
import { tokenRoutes } from './routes/tokens.ts'

const maxBodyBytes = 1024 * 1024

/** The whole public surface but the WebSockets. */
export const createApp = (
  house: House,
  relay: Relay,
  limits: Pick<Limits, 'bodyMs'> = { bodyMs: 30_000 },
  nextRequestId = createRequestIds(house.now),
) => {
  const app = createRouter()

  app.use(async (c, next) => {
    const requestId = nextRequestId()
    c.set('requestId', requestId)
    const startedAt = house.now()
    await next()
    // A relayed answer has its own line, and its headers are the relay's.
    if (c.env?.outgoing?.headersSent) return
    lateHeader(c, 'x-request-id', requestId)
    if (c.req.path.startsWith('/v1/') && !c.req.path.endsWith('/heartbeat'))
      house.log.info(
        { requestId, method: c.req.method, path: c.req.path, status: c.res.status, ms: house.now() - startedAt },
        'request',
      )
  })
  app.use(async (c, next) => {
    // Routes match the path as the URL parser normalised it; what did not come that way is not guessed at.
    if (c.env?.incoming) demandPlain(c.env.incoming)
    await next()
  })
  const ports = createPortRoutes(house, relay)
  app.use(ports.onOwnHosts)
  app.use('/v1/*', bodyDeadline(limits.bodyMs), bodyBound(maxBodyBytes), shallowJson)
  app.use('/v1/*', async (c, next) => {
    // Nobody waits for a database that is known to be away: it is looked for once a second.
    // Heartbeats try all the same: a host must not look silent because a gateway is in doubt.
    if (house.routes.isAway() && !c.req.path.endsWith('/heartbeat'))
      throw new Problem('database-unavailable', { retryAfterSeconds: 2 })
    await next()
  })
  app.use('/v1/*', async (c, next) => {
    await next()
    lateHeader(c, 'cache-control', 'no-store')
  })

  app.onError((error, c) => {
    const problem = toProblem(error)
    const requestId = c.get('requestId')
    // A refusal has its line in the log of requests; only what went wrong inside has more to say.
    if (problem.status >= 500 && problem.extra.cause)
      house.log[problem.code === 'internal' ? 'error' : 'warn'](
        { err: problem.extra.cause, requestId, code: problem.code },
        'request failed',
      )
    return c.body(JSON.stringify(problem.toBody(requestId)), problem.status, problem.toHeaders(requestId))
  })
  app.notFound(c => {
    const problem = new Problem('not-found')
    const requestId = c.get('requestId')
    return c.body(JSON.stringify(problem.toBody(requestId)), 404, problem.toHeaders(requestId))
  })

  app.use('/v1/*', recordCalls(house))

  app.route('/', healthRoutes(house))
  app.route('/', auditRoutes(house))
  app.route('/', runtimeRoutes(house))
  app.route('/', connectionRoutes(house))
  app.route('/', eventRoutes(house))
  app.route('/', hostRoutes(house))
  app.route('/', heartbeatRoutes(house))
  app.route('/', tokenRoutes(house))
  app.route('/', tenantRoutes(house))
  app.route('/', viewRoutes(house))
  app.route('/', edgeRoutes(house, relay))
  app.route('/', ports.app)
  app.route('/', pageRoutes())

  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
  })
  // Written once: it takes longer than any call, and anybody may ask for it.
  let document: Uint8Array<ArrayBuffer> | undefined
  app.get('/openapi.json', c => {
    document ??= new TextEncoder().encode(
      JSON.stringify(
        app.getOpenAPI31Document({
          openapi: '3.1.0',
          info: {
            title: 'Porthole',
            version: '0.1.0',
            description: 'Isolated browsers and sandboxes on your own Docker hosts, behind one URL.',
          },
          servers: [{ url: house.base }],
        }),
      ),
    )
    return c.body(document, 200, { 'content-type': 'application/json' })
  })
  return app
}
