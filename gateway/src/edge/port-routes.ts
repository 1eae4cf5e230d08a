import { createHash } from 'node:crypto'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { takeTicket } from '@porthole/db'
import type { Relay } from '@porthole/protocol/relay'
import type { Context, MiddlewareHandler } from 'hono'
import { setCookie } from 'hono/cookie'
import type { House } from '../house.ts'
import { Problem } from '../problem.ts'
import { type AppEnv, createRouter } from '../routes/openapi.ts'
import { wantsPage } from './access.ts'
import { passOn } from './pass-on.ts'
import {
  enterPort,
  type PortVisit,
  type PortWay,
  portAudience,
  portCookieOf,
  portTicketKey,
  portWayOf,
} from './port-access.ts'
import type { NamedPort, PortHosts } from './port-hosts.ts'
import { portTargetOf } from './port-target.ts'
import { passOfTicket, signViewPass, ticketIn, viewPassSeconds } from './tickets.ts'

/** The one path on a port's own host that is ours: a person comes in here. */
const openPath = '/.porthole/open'

/** Where a person's browser goes with a one-use ticket; undefined: the port has no origin of its own. */
export const portTicketUrl = (
  hosts: Pick<PortHosts, 'originOf'>,
  port: NamedPort,
  token: string,
): string | undefined => {
  const origin = hosts.originOf(port)
  return origin && `${origin}${openPath}?ticket=${token}`
}

const style =
  'body{font:16px/1.5 system-ui,sans-serif;color-scheme:light dark;max-width:34em;margin:18vh auto;padding:0 24px}'
const page = (title: string, text: string) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${style}</style><h1>${title}</h1><p>${text}</p></html>`
const pages = {
  missing: page('A link is needed', 'Open this with a link from whoever runs it. Links work once, and for a minute.'),
  used: page('This link has been used', 'Links work once, and for a minute. Ask for a new one.'),
}
const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; frame-ancestors 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'www-authenticate': 'Bearer realm="porthole"',
}
const tell = (why: keyof typeof pages) => new Response(pages[why], { status: 401, headers: pageHeaders })

/** Named ports: at `/port/:ownerHash/:name/…`, and on hosts of their own. */
export const createPortRoutes = (house: House, relay: Relay) => {
  const basePath = new URL(house.base).pathname.replace(/\/$/, '')
  const isSecure = house.base.startsWith('https:')

  const pass = async (c: Context<AppEnv>, visit: PortVisit, way: PortWay) => {
    await passOn(house, relay, c, { visit, door: 'port', find: asked => portTargetOf(house, visit, way, asked) })
    return RESPONSE_ALREADY_SENT
  }

  const isIn = async (c: Context<AppEnv>, way: PortWay): Promise<boolean> => {
    try {
      await enterPort(house, way, c.env.incoming)
      return true
    } catch (error) {
      if (error instanceof Problem) return false
      throw error
    }
  }

  const toFirstPage = (c: Context<AppEnv>) => {
    c.header('referrer-policy', 'no-referrer')
    c.header('cache-control', 'no-store')
    return c.redirect('/', 302)
  }

  const exchange = async (c: Context<AppEnv>, way: PortWay) => {
    // A HEAD looks without touching: mail scanners must not use a link up.
    const said = c.req.method === 'GET' ? c.req.query('ticket') : undefined
    const token = ticketIn(said)
    const ticket = token && (await takeTicket(house.database.db, portTicketKey(token, way), way.ownerHash))
    const pass = ticket && passOfTicket(ticket)
    if (!pass || !house.doorman.isWelcome(pass)) {
      if (said && (await isIn(c, way))) return toFirstPage(c)
      return tell(said ? 'used' : 'missing')
    }
    const { tenant, subject, tokenId = null } = pass
    const seconds = Math.max(1, Math.min(viewPassSeconds, Math.floor(pass.expiresAt - house.now() / 1000)))
    const cookie = await signViewPass(house.issuer, pass, seconds, portAudience(way))
    setCookie(c, portCookieOf(house.base), cookie, {
      ...{ path: '/', httpOnly: true, secure: isSecure, maxAge: seconds },
      sameSite: 'Lax',
    })
    house.audit.record({
      ...{ tenant, subject, tokenId, status: 302, code: null },
      action: 'use port ticket',
      target: `/port/${way.ownerHash}/${way.name}`,
      address: c.env.incoming.socket.remoteAddress ?? '',
      requestId: c.get('requestId'),
    })
    return toFirstPage(c)
  }

  /** Takes what comes for a host within the ports' domain: nothing else of the gateway answers there. */
  const onOwnHosts: MiddlewareHandler<AppEnv> = async (c, next) => {
    const incoming = c.env?.incoming
    const way = incoming && house.portHosts.read(incoming.headers.host) ? portWayOf(house, incoming) : undefined
    if (!way) return next()
    if (c.req.path === openPath) return exchange(c, way)
    let visit: PortVisit
    try {
      visit = await enterPort(house, way, incoming)
    } catch (error) {
      const isStranger = error instanceof Problem && error.code === 'unauthorized'
      if (isStranger && wantsPage(c.req.header('accept'))) return tell('missing')
      throw error
    }
    return pass(c, visit, way)
  }

  const app = createRouter()
  app.all('/port/:ownerHash/*', async c => {
    const { incoming } = c.env
    const way = portWayOf(house, incoming)
    if (!way) throw new Problem('not-found')
    const visit = await enterPort(house, way, incoming)
    // What a page names without a slash before it is looked for beside the page.
    if (!way.rest.startsWith('/')) return c.redirect(`${basePath}/port/${way.ownerHash}/${way.name}/${way.rest}`, 308)
    return pass(c, visit, way)
  })
  return { onOwnHosts, app }
}
