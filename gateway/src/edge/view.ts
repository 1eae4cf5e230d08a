import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { takeTicket } from '@porthole/db'
import type { Context } from 'hono'
import { setCookie } from 'hono/cookie'
import { admit, type House } from '../house.ts'
import type { OwnerHash } from '../identity/owner.ts'
import { Problem } from '../problem.ts'
import { pageHeaders, readFiles, sendFile } from '../routes/files.ts'
import { type AppEnv, createRouter } from '../routes/openapi.ts'
import type { Caller } from '../tokens/caller.ts'
import { authorize, checkOrigin, sharedHashOf, type Visit, wantsPage } from './access.ts'
import { routeOf } from './http.ts'
import {
  cleanViewPath,
  passOfTicket,
  signViewPass,
  ticketIn,
  type ViewPass,
  viewCookie,
  viewPassSeconds,
  viewTicketKey,
} from './tickets.ts'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
/** The package's entry is `core/rfb.js`; two folders up are all of its files. */
const noVnc = dirname(dirname(createRequire(import.meta.url).resolve('@novnc/novnc')))

type Reason = 'missing' | 'expired' | 'used' | 'gone'

/** The policy of our pages, opened to the origins that a tenant embeds its views in. */
const framedBy = (origins: string[]): string =>
  pageHeaders['content-security-policy'].replace(
    "frame-ancestors 'self'",
    ["frame-ancestors 'self'", ...origins].join(' '),
  )

/** The live view's page and noVNC's files, for people with a cookie and programs with a token. */
export const viewRoutes = (house: House) => {
  const app = createRouter()
  const files = new Map([
    ...readFiles(here('../../public/view')),
    ...[...readFiles(noVnc)].filter(([path]) => /^(core|vendor)\//.test(path)),
  ])
  const signIn = readFileSync(here('../../public/signin.html'), 'utf8')
  const basePath = new URL(house.base).pathname.replace(/\/$/, '')
  const isSecure = house.base.startsWith('https:')

  /** Origins whose pages may show this tenant's views in a frame. */
  const framersOf = async (tenant: string): Promise<string[]> =>
    (await house.access.tenant(tenant))?.frameAncestors ?? []

  /** How the runtime is, for a page that asks why its socket ended. */
  const standingOf = async ({ runtime: { state, hostId, error } }: Visit): Promise<Record<string, string>> => {
    if (state === 'failed' && error) return { 'x-porthole-state': state, 'x-porthole-error': error.code }
    const isUp = state === 'running' || state === 'paused'
    const host = isUp && hostId !== null ? await house.routes.host(hostId) : undefined
    return { 'x-porthole-state': host?.live === false ? 'away' : state }
  }

  const givePass = async (c: Context<AppEnv>, pass: Omit<ViewPass, 'expiresAt'>, seconds: number) => {
    setCookie(c, viewCookie, await signViewPass(house.issuer, pass, seconds), {
      path: `${basePath}/view/${pass.ownerHash}`,
      httpOnly: true,
      secure: isSecure,
      maxAge: seconds,
      // In a frame on another site a cookie is sent only as a third party's, kept apart for each such site (CHIPS).
      ...(isSecure && (await framersOf(pass.tenant)).length > 0
        ? { sameSite: 'None' as const, partitioned: true }
        : { sameSite: 'Lax' as const }),
    })
  }

  /** A pass does not outlive the token that it was given for. */
  const secondsLeft = ({ expiresAt }: Pick<Caller, 'expiresAt'>) =>
    Math.max(1, Math.min(viewPassSeconds, Math.floor(expiresAt - house.now() / 1000)))

  /** What a person sees instead of a bare 401: why, and how to get in; or a bare 410. */
  const askToSignIn = (reason: Reason) =>
    new Response(signIn.replaceAll('__BASE__', basePath).replaceAll('__REASON__', reason), {
      status: reason === 'gone' ? 410 : 401,
      headers: {
        ...pageHeaders,
        'content-type': 'text/html; charset=utf-8',
        'cache-control': 'no-store',
        ...(reason === 'gone' ? {} : { 'www-authenticate': 'Bearer realm="porthole"' }),
      },
    })

  const toCleanPage = (c: Context<AppEnv>, ownerHash: OwnerHash) => {
    c.header('referrer-policy', 'no-referrer')
    c.header('cache-control', 'no-store')
    return c.redirect(cleanViewPath(basePath, ownerHash), 302)
  }

  /** Whether a person may come in by a cookie alone. */
  const hasPass = async ({ env }: Context<AppEnv>, ownerHash: OwnerHash): Promise<boolean> => {
    try {
      await authorize(house, 'view', ownerHash, { cookie: env.incoming.headers.cookie })
      return true
    } catch (error) {
      if (error instanceof Problem) return false
      throw error
    }
  }

  const exchange = async (c: Context<AppEnv>, ownerHash: OwnerHash, said: string) => {
    const token = ticketIn(said)
    const ticket = token && (await takeTicket(house.database.db, viewTicketKey(token), ownerHash))
    const pass = ticket && passOfTicket(ticket)
    // A ticket of somebody who was shut out since is none.
    if (!pass || !house.doorman.isWelcome(pass)) {
      // A page around the view that is loaded again opens its frame with the link it was written with.
      if (await hasPass(c, ownerHash)) return toCleanPage(c, ownerHash)
      if (wantsPage(c.req.header('accept'))) return askToSignIn('used')
      throw new Problem('unauthorized', { detail: 'the ticket was used before, has expired, or never was' })
    }
    const { tenant, access, subject, tokenId = null } = pass
    await givePass(c, pass, secondsLeft(pass))
    house.audit.record({
      tenant,
      subject,
      tokenId,
      action: `use ${access} ticket`,
      target: `/view/${ownerHash}`,
      status: 302,
      code: null,
      address: c.env.incoming.socket.remoteAddress ?? '',
      requestId: c.get('requestId'),
    })
    return toCleanPage(c, ownerHash)
  }

  // A page that was opened with a token in its fragment trades it here for the cookie.
  app.post('/view/:ownerHash/session', async c => {
    const { ownerHash } = routeOf(c)
    const caller = await admit(house, c.req.header('authorization'), 'runtimes:connect')
    const { subject, tenant, tokenId, issuerId } = await authorize(house, 'view', ownerHash, c.env.incoming.headers)
    await givePass(c, { tenant, ownerHash, access: 'control', subject, tokenId, issuerId }, secondsLeft(caller))
    return c.body(null, 204, { 'cache-control': 'no-store' })
  })

  // The button of a page whose runtime failed or was lost: to connect wakes those that sleep, and only those.
  app.post('/view/:ownerHash/start', async c => {
    const { incoming } = c.env
    const visit = await authorize(house, 'view', routeOf(c).ownerHash, incoming.headers)
    checkOrigin(house, incoming.headers)
    if (visit.access !== 'control') throw new Problem('insufficient-scope', { detail: 'the link is for watching only' })
    const { state } = await house.conductor.start(visit.runtime, house.wakeMs)
    if (state !== 'running') throw new Problem('not-running', { detail: `it is ${state}`, retryAfterSeconds: 5 })
    return c.body(null, 204, { 'cache-control': 'no-store' })
  })

  app.get('/view/:ownerHash/*', async c => {
    const { ownerHash, rest } = routeOf(c)
    const name = rest.split('?', 1)[0]?.slice(1) ?? ''
    // A HEAD looks without touching: mail scanners must not use a link up.
    const isLook = c.req.method === 'HEAD'
    const ticket = name === 'vnc.html' && !isLook ? c.req.query('ticket') : undefined
    if (ticket !== undefined) return exchange(c, ownerHash, ticket)
    let visit: Visit
    try {
      visit = await authorize(house, 'view', ownerHash, c.env.incoming.headers)
    } catch (error) {
      const code = error instanceof Problem && name === 'vnc.html' && wantsPage(c.req.header('accept')) && error.code
      if (code === 'gone') return askToSignIn('gone')
      if (code === 'unauthorized')
        return askToSignIn(c.req.header('cookie')?.includes(`${viewCookie}=`) ? 'expired' : 'missing')
      throw error
    }
    if (name === 'websockify') throw new Problem('upgrade-required', { headers: { upgrade: 'websocket' } })
    const file = files.get(name)
    if (!file) throw new Problem('not-found')
    return sendFile(file, c.req.header('if-none-match'), {
      ...pageHeaders,
      'content-security-policy': framedBy(await framersOf(visit.tenant)),
      // An open view asks for its page to learn why its socket ended: it must not wake what somebody has stopped.
      ...(await standingOf(visit)),
      'x-porthole-access': visit.access,
    })
  })

  // The original's address of the shared browser (PARITY B19): who asks says whose.
  app.get('/vnc.html', async c => {
    const authorization = c.req.header('authorization')
    if (authorization === undefined && wantsPage(c.req.header('accept'))) return askToSignIn('missing')
    const caller = await admit(house, authorization, 'runtimes:connect')
    return c.redirect(cleanViewPath(basePath, sharedHashOf(caller.tenant)), 302)
  })

  app.post('/session', async c => {
    const authorization = c.req.header('authorization')
    const caller = await admit(house, authorization, 'runtimes:connect')
    const ownerHash = sharedHashOf(caller.tenant)
    const { subject, tenant, tokenId, issuerId } = await authorize(house, 'view', ownerHash, { authorization })
    await givePass(c, { tenant, ownerHash, access: 'control', subject, tokenId, issuerId }, secondsLeft(caller))
    return c.body(null, 204, { 'cache-control': 'no-store', location: cleanViewPath(basePath, ownerHash) })
  })

  return app
}
