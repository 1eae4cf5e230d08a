import { and, desc, eq, gt, lt, sql } from 'drizzle-orm'
import type { Db, Tx } from './connect.ts'
import { issuers, tenants, tokens } from './schema.ts'

/** NOTIFY channel: who may do what has changed (a token was revoked, a tenant suspended, an issuer removed). */
export const accessChannel = 'porthole_access'

/** Of whom something has changed: of an issuer, so have the keys that tokens are good by. */
export type AccessKind = 'token' | 'tenant' | 'issuer'

export const announceAccess = async (tx: Tx, kind: AccessKind, id: string): Promise<void> => {
  await tx.execute(sql`select pg_notify(${accessChannel}, ${`${kind}:${id}`})`)
}

/** What a notice of access is about; undefined: nobody knows, so it may be anything. */
export const accessKindOf = (notice: string | undefined): AccessKind | undefined =>
  /^(token|tenant|issuer):/.exec(notice ?? '')?.[1] as AccessKind | undefined

export type TokenRow = typeof tokens.$inferSelect

/** Remembers a token that was minted, for `seconds` from now by the database's clock. */
export const addToken = async (
  db: Tx,
  token: Pick<TokenRow, 'id' | 'tenant' | 'subject' | 'scopes'> & Partial<Pick<TokenRow, 'owner' | 'mode' | 'parent'>>,
  seconds: number,
): Promise<TokenRow> => {
  const [row] = await db
    .insert(tokens)
    .values({ ...token, expiresAt: sql`now() + make_interval(secs => ${seconds})` })
    .returning()
  if (!row) throw new Error('the database returned no row for a new token')
  return row
}

/** Who asks may be bound to one owner: then only tokens of that owner are there. */
type BoundOwner = { mode: string; name: string } | undefined

const ofBoundOwner = (owner: BoundOwner) =>
  owner === undefined ? undefined : and(eq(tokens.owner, owner.name), eq(tokens.mode, owner.mode))

/** A keyset page of a tenant's tokens, newest first. */
export const listTokens = (
  db: Tx,
  tenant: string,
  owner: BoundOwner,
  page: { limit: number; before?: string | undefined },
): Promise<TokenRow[]> =>
  db
    .select()
    .from(tokens)
    .where(
      and(
        eq(tokens.tenant, tenant),
        ofBoundOwner(owner),
        page.before === undefined ? undefined : lt(tokens.id, page.before),
      ),
    )
    .orderBy(desc(tokens.id))
    .limit(page.limit)

/**
 * Revokes a token and all that were minted with it, and tells every gateway.
 *
 * @returns the token; undefined when the tenant has none of that id. Revoking twice changes nothing.
 */
export const revokeToken = (db: Db, tenant: string, owner: BoundOwner, id: string): Promise<TokenRow | undefined> =>
  db.transaction(async tx => {
    const [found] = await tx
      .select()
      .from(tokens)
      .where(and(eq(tokens.id, id), eq(tokens.tenant, tenant), ofBoundOwner(owner)))
    if (!found) return undefined
    const revoked = await tx.execute(sql`
      with recursive family(id) as (
        select ${id}::text union select t.id from ${tokens} t join family f on t.parent = f.id
      )
      update ${tokens} set revoked_at = now() where revoked_at is null and id in (select id from family) returning id`)
    // Asked again, it says nothing: every gateway looks when it hears of one.
    if (revoked.length > 0) await announceAccess(tx, 'token', id)
    return found
  })

/** Tokens that are revoked and would otherwise still be good; with `sinceSeconds`, those revoked in that time. */
export const listRevoked = (db: Tx, sinceSeconds?: number): Promise<Pick<TokenRow, 'id' | 'expiresAt'>[]> =>
  db
    .select({ id: tokens.id, expiresAt: tokens.expiresAt })
    .from(tokens)
    .where(
      and(
        sql`${tokens.revokedAt} is not null`,
        gt(tokens.expiresAt, sql`now()`),
        sinceSeconds === undefined
          ? undefined
          : gt(tokens.revokedAt, sql`now() - make_interval(secs => ${sinceSeconds})`),
      ),
    )

export const listSuspended = async (db: Tx): Promise<string[]> =>
  (await db.select({ slug: tenants.slug }).from(tenants).where(sql`${tenants.suspendedAt} is not null`)).map(
    ({ slug }) => slug,
  )

export type IssuerRow = typeof issuers.$inferSelect

/** @returns undefined when the issuer belongs to somebody already. */
export const addIssuer = (db: Db, issuer: Omit<IssuerRow, 'createdAt'>): Promise<IssuerRow | undefined> =>
  db.transaction(async tx => {
    const [row] = await tx.insert(issuers).values(issuer).onConflictDoNothing().returning()
    if (row) await announceAccess(tx, 'issuer', row.id)
    return row
  })

export const listIssuers = (db: Tx, tenant?: string): Promise<IssuerRow[]> =>
  db
    .select()
    .from(issuers)
    .where(tenant === undefined ? undefined : eq(issuers.tenant, tenant))
    .orderBy(issuers.id)

/** The ids of all that are trusted. */
export const listIssuerIds = async (db: Tx): Promise<string[]> =>
  (await db.select({ id: issuers.id }).from(issuers)).map(({ id }) => id)

/** @returns whether there was one. */
export const removeIssuer = (db: Db, tenant: string, id: string): Promise<boolean> =>
  db.transaction(async tx => {
    const gone = await tx
      .delete(issuers)
      .where(and(eq(issuers.id, id), eq(issuers.tenant, tenant)))
      .returning({ id: issuers.id })
    if (gone.length > 0) await announceAccess(tx, 'issuer', id)
    return gone.length > 0
  })
