import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Relay } from '@porthole/protocol/relay'
import type { Context } from 'hono'
import type { House } from '../house.ts'
import type { OwnerHash } from '../identity/owner.ts'
import { Problem } from '../problem.ts'
import type { AppEnv } from '../routes/openapi.ts'
import { createRouter } from '../routes/openapi.ts'
import { authorize } from './access.ts'
import { fetchDiscovery } from './discovery.ts'
import { passOn, whileOpen } from './pass-on.ts'
import { type EdgeRoute, parseEdgeTarget } from './route.ts'
import { sandboxHeaders, targetOf } from './target.ts'

/** The edge route of a request, by its raw target. @throws Problem */
export const routeOf = (c: Context<AppEnv>): EdgeRoute => {
  const route = parseEdgeTarget(c.env.incoming.url ?? '')
  if (route) return route
  // What is in the place of the owner's hash is none.
  throw new Problem('not-found')
}

/** `/cdp/:ownerHash/json/…` and `/rpc/:ownerHash/…`. */
export const edgeRoutes = (house: House, relay: Relay) => {
  const app = createRouter()

  /** Asks a runtime's DevTools for a document. */
  const discover = async (c: Context<AppEnv>, ownerHash: OwnerHash, path: string) => {
    const { incoming: req } = c.env
    const requestId = c.get('requestId')
    const visit = await authorize(house, 'cdp', ownerHash, req.headers)
    const { status, body, type } = await whileOpen(house, c, { visit, door: 'cdp' }, async ({ over, leadsTo }) => {
      const { runtime, ...target } = await targetOf(house, visit, 'cdp', path, { req, requestId, signal: over })
      leadsTo(runtime.generation)
      return fetchDiscovery(house, { ownerHash, method: c.req.method as 'GET' | 'PUT', target, signal: over })
    })
    return new Response(body, { status, headers: { ...sandboxHeaders, 'content-type': type } })
  }
  app.on(['GET', 'PUT'], '/cdp/:ownerHash/json/*', c => {
    const { ownerHash, rest } = routeOf(c)
    // Playwright asks for /json/version/, Chromium's own proxy may not know it with the slash.
    return discover(c, ownerHash, rest.replace(/^([^?]*)\/(?=\?|$)/, '$1'))
  })
  app.get('/cdp/:ownerHash/json', c => discover(c, routeOf(c).ownerHash, '/json/list'))
  app.all('/cdp/:ownerHash/*', async c => {
    await authorize(house, 'cdp', routeOf(c).ownerHash, c.env.incoming.headers)
    throw new Problem('upgrade-required', { headers: { upgrade: 'websocket' } })
  })

  app.all('/rpc/:ownerHash/*', async c => {
    const { ownerHash, rest } = routeOf(c)
    const visit = await authorize(house, 'rpc', ownerHash, c.env.incoming.headers)
    const find = (asked: Parameters<typeof targetOf>[4]) => targetOf(house, visit, 'rpc', rest || '/', asked)
    await passOn(house, relay, c, { visit, door: 'rpc', find })
    return RESPONSE_ALREADY_SENT
  })

  return app
}
