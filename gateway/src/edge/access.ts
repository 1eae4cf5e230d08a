import type http from 'node:http'
import type { RuntimeRow } from '@porthole/db'
import type { Access } from '@porthole/protocol'
import { parse } from 'hono/utils/cookie'
import { admit, type House, isForOwner } from '../house.ts'
import { type OwnerHash, ownerHashOf } from '../identity/owner.ts'
import { Problem } from '../problem.ts'
import { type Caller, demand } from '../tokens/caller.ts'
import { viewCookie } from './tickets.ts'

/** Somebody who may use an owner's runtime: watch it, or also drive it. */
export type Visit = Pick<Caller, 'tenant' | 'subject' | 'tokenId' | 'issuerId' | 'expiresAt'> & {
  access: Access
  runtime: RuntimeRow
}

type Headers = http.IncomingHttpHeaders

/** What a path is for: only the view takes a person's cookie, and a port that has an origin of its own. */
export type Door = 'view' | 'cdp' | 'rpc' | 'port'

const cookieOf = (headers: Headers) => parse(headers.cookie ?? '', viewCookie)[viewCookie]

/** @throws Problem `not-found` for what is not there, or not theirs; `gone` for what they deleted. */
export const findTheirs = async (
  house: House,
  tenant: string,
  ownerHash: OwnerHash,
  caller?: Caller,
): Promise<RuntimeRow> => {
  const runtime = await house.routes.runtime(tenant, ownerHash)
  if (!runtime || (caller && !isForOwner(caller, runtime))) throw new Problem('not-found')
  if (runtime.state === 'deleted') throw new Problem('gone')
  return runtime
}

export const connectScope = 'runtimes:connect'

/** The bearer of a token, who is looked for in the database only where there is no known route of their tenant's. */
const admitTo = async (house: House, ownerHash: OwnerHash, authorization: string | undefined): Promise<Caller> => {
  const caller = await house.doorman.admit(authorization)
  if (!house.routes.knownRuntime(caller.tenant, ownerHash)) return admit(house, authorization, connectScope)
  demand(caller, connectScope)
  return caller
}

/**
 * Who may pass this door to an owner's runtime: the bearer of a token with `runtimes:connect`, or, for the view, a
 * person whose cookie came from a ticket.
 *
 * @throws Problem `unauthorized`, `insufficient-scope`, `not-found`, `gone`
 */
export const authorize = async (house: House, door: Door, ownerHash: OwnerHash, headers: Headers): Promise<Visit> => {
  if (headers.authorization === undefined && door === 'view') {
    const pass = await house.passes.read(cookieOf(headers), ownerHash)
    // A pass of somebody who was shut out since is none.
    if (pass && house.doorman.isWelcome(pass))
      return { ...pass, runtime: await findTheirs(house, pass.tenant, ownerHash) }
  }
  const caller = await admitTo(house, ownerHash, headers.authorization)
  const runtime = await findTheirs(house, caller.tenant, ownerHash, caller)
  const { tenant, subject, tokenId, issuerId, expiresAt } = caller
  return { tenant, subject, tokenId, issuerId, expiresAt, access: 'control', runtime }
}

/**
 * Cross-site pages must not open sockets with a person's cookie: what sends an Origin must send one of ours. Programs
 * send none; a cookie comes from browsers only, which always do.
 *
 * @throws Problem `wrong-origin`
 */
export const checkOrigin = (house: House, headers: Headers): void => {
  const { origin } = headers
  if (origin === undefined ? headers.authorization !== undefined : house.origins.has(origin)) return
  throw new Problem('wrong-origin')
}

/** Whether the request comes from a person's browser, which is better answered with a page. */
export const wantsPage = (accept: string | undefined): boolean => accept?.includes('text/html') ?? false

/** The hash of a tenant's one shared runtime. */
export const sharedHashOf = (tenant: string): OwnerHash => ownerHashOf(tenant, 'shared', 'default')
