import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Relay } from '@porthole/protocol/relay'
import type { Context } from 'hono'
import type { House } from '../house.ts'
import { Problem } from '../problem.ts'
import type { AppEnv } from '../routes/openapi.ts'
import { createRouter } from '../routes/openapi.ts'
import { authorize } from './access.ts'
import { fetchDiscovery } from './discovery.ts'
import { passOn } from './pass-on.ts'
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

  app.on(['GET', 'PUT'], '/cdp/:ownerHash/json/*', async c => {
    const { ownerHash, rest } = routeOf(c)
    const visit = await authorize(house, 'cdp', ownerHash, c.env.incoming.headers)
    // Playwright asks for /json/version/, Chromium's own proxy may not know it with the slash.
    const path = rest.replace(/^([^?]*)\/(?=\?|$)/, '$1')
    const target = await targetOf(house, visit, 'cdp', path, { req: c.env.incoming, requestId: c.get('requestId') })
    const { status, body, type } = await fetchDiscovery(house, ownerHash, c.req.method as 'GET' | 'PUT', target)
    return new Response(body, { status, headers: { ...sandboxHeaders, 'content-type': type } })
  })
  app.get('/cdp/:ownerHash/json', async c => {
    const { ownerHash } = routeOf(c)
    const visit = await authorize(house, 'cdp', ownerHash, c.env.incoming.headers)
    const target = await targetOf(house, visit, 'cdp', '/json/list', {
      req: c.env.incoming,
      requestId: c.get('requestId'),
    })
    const { status, body, type } = await fetchDiscovery(house, ownerHash, 'GET', target)
    return new Response(body, { status, headers: { ...sandboxHeaders, 'content-type': type } })
  })
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
