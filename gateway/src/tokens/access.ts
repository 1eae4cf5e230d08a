import {
  accessChannel,
  accessKindOf,
  type Database,
  findTenant,
  listIssuerIds,
  listRevoked,
  listSuspended,
  type TenantRow,
} from '@porthole/db'
import type { Logger } from 'pino'
import { within } from '../within.ts'
import { oneAndNext } from './access-looks.ts'

/**
 * Who has been shut out. Kept in memory, so that asking costs nothing; a NOTIFY refreshes it at once, and a look a second
 * makes up for lost ones, so that a revocation is known to every gateway within two seconds.
 */
export type Access = {
  isRevoked(tokenId: string | undefined): boolean
  isSuspended(tenant: string): boolean
  /** Whether a tenant trusts an issuer of its own, by id; undefined is the built-in one. */
  isTrusted(issuerId: string | undefined): boolean
  /** The tenant as it was at most a second ago. */
  tenant(slug: string): Promise<TenantRow | undefined>
  /**
   * Calls `listener` when somebody was shut out, or a gateway says that something has changed; with whether that may be
   * the keys that tokens are good by. A tenant can revoke all day: that alone must not empty what is remembered for all.
   */
  onChange(listener: (of: { keys: boolean }) => void): void
  close(): Promise<void>
}

const pollMs = 1000
/** A look takes in what was revoked in this time: longer than any transaction may take to commit. */
const overlapSeconds = 30
const tenantMs = 1000
const awayMs = 60_000
const maxTenants = 10_000
/** Milliseconds a look at a tenant may take, before what was known of it a moment ago does. */
const lookMs = 2000

export const watchAccess = async (
  { db, listen }: Pick<Database, 'db' | 'listen'>,
  log: Logger,
  now: () => number,
): Promise<Access> => {
  /** Token id → when it would have expired anyway. */
  const revoked = new Map<string, number>()
  let suspended: ReadonlySet<string> = new Set()
  let trusted: ReadonlySet<string> = new Set()
  const tenants = new Map<string, { row: TenantRow | undefined; at: number; readAt: number }>()
  const listeners = new Set<(of: { keys: boolean }) => void>()

  let isHinted = false
  let areKeysHinted = false
  const refresh = async (sinceSeconds?: number) => {
    // One that comes from here on may be of what is not read by this look.
    const wasHinted = isHinted
    let keys = areKeysHinted
    isHinted = false
    areKeysHinted = false
    const [tokens, slugs, issuers] = await Promise.all([
      listRevoked(db, sinceSeconds),
      listSuspended(db),
      listIssuerIds(db),
    ])
    let isNew = false
    for (const { id, expiresAt } of tokens) {
      isNew ||= !revoked.has(id)
      revoked.set(id, expiresAt.getTime())
    }
    isNew ||= slugs.some(slug => !suspended.has(slug))
    suspended = new Set(slugs)
    const before = trusted
    trusted = new Set(issuers)
    const isDistrusted = [...before].some(id => !trusted.has(id))
    keys ||= isDistrusted
    isNew ||= isDistrusted
    for (const [id, expiresAt] of revoked) if (expiresAt < now()) revoked.delete(id)
    if (isNew || wasHinted) for (const listener of listeners) listener({ keys })
  }

  let isHealthy = true
  /** One look at a time, and one more for all who ask meanwhile; a fault is told once, and the next look makes up for it in full. */
  const looks = oneAndNext(async () => {
    const hadMissed = !isHealthy
    isHealthy = true
    try {
      await refresh(hadMissed ? undefined : overlapSeconds)
    } catch (error) {
      if (!hadMissed) log.error({ err: error }, 'revocations could not be read')
      isHealthy = false
      isHinted = true
      areKeysHinted = true
    }
  })

  /** Looks under way: a crowd of one tenant's callers asks once. */
  const asking = new Map<string, Promise<TenantRow | undefined>>()
  const ask = (slug: string) => {
    const underWay = asking.get(slug)
    if (underWay) return underWay
    const mine = within(lookMs, findTenant(db, slug)).finally(() => {
      if (asking.get(slug) === mine) asking.delete(slug)
    })
    asking.set(slug, mine)
    return mine
  }

  await refresh()
  const hint = (notice?: string) => {
    isHinted = true
    const kind = accessKindOf(notice)
    areKeysHinted ||= kind !== 'token' && kind !== 'tenant'
    tenants.clear()
    // What is under way may have been read before the change.
    asking.clear()
    looks.ask()
  }
  const { unlisten } = await listen(accessChannel, hint, () => {
    // Hints may have been lost while the connection was.
    isHealthy = false
    hint()
  })
  const timer = setInterval(looks.ask, pollMs)

  return {
    isRevoked: tokenId => tokenId !== undefined && revoked.has(tokenId),
    isSuspended: tenant => suspended.has(tenant),
    isTrusted: issuerId => issuerId === undefined || trusted.has(issuerId),
    tenant: async slug => {
      const known = tenants.get(slug)
      if (known && now() - known.at < tenantMs) return known.row
      let row: TenantRow | undefined
      try {
        row = await ask(slug)
      } catch (error) {
        // While the database is away, what was known a moment ago is good for a minute; who is shut out is known anyway.
        if (!known?.row || now() - known.readAt > awayMs) throw error
        row = known.row
        tenants.set(slug, { row, at: now(), readAt: known.readAt })
        return row
      }
      if (tenants.size >= maxTenants) tenants.clear()
      tenants.set(slug, { row, at: now(), readAt: now() })
      return row
    },
    onChange: listener => void listeners.add(listener),
    close: async () => {
      clearInterval(timer)
      await looks.close()
      await unlisten()
    },
  }
}
