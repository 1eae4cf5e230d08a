import { and, asc, eq, gt, isNull, type SQL, sql } from 'drizzle-orm'
import type { Db, Tx } from './connect.ts'
import type { Need } from './hosts.ts'
import { type TenantRow, tenants } from './schema.ts'
import { announceAccess } from './tokens.ts'

export const findTenant = async (db: Tx, slug: string): Promise<TenantRow | undefined> =>
  (await db.select().from(tenants).where(eq(tenants.slug, slug)))[0]

/** Creates the tenant, or leaves the one that exists with the mode given now. */
export const putTenant = async (db: Tx, tenant: { slug: string; mode: string }): Promise<void> => {
  await db
    .insert(tenants)
    .values(tenant)
    .onConflictDoUpdate({ target: tenants.slug, set: { mode: tenant.mode } })
}

/** What an operator sets of a tenant. */
export type TenantSettings = Pick<
  TenantRow,
  | 'mode'
  | 'frameAncestors'
  | 'maxRuntimes'
  | 'maxMemoryBytes'
  | 'maxCpuMillis'
  | 'createsPerMinute'
  | 'atCap'
  | 'queueLimit'
>

/** @returns undefined when there is one of that name. */
export const addTenant = async (
  db: Tx,
  tenant: { slug: string } & Partial<TenantSettings>,
): Promise<TenantRow | undefined> => (await db.insert(tenants).values(tenant).onConflictDoNothing().returning())[0]

/** Changes a tenant, and tells every gateway. @returns undefined when there is none of that name. */
export const updateTenant = (
  db: Db,
  slug: string,
  { suspended, ...settings }: Partial<TenantSettings> & { suspended?: boolean | undefined },
): Promise<TenantRow | undefined> =>
  db.transaction(async tx => {
    const suspendedAt =
      suspended === undefined
        ? {}
        : { suspendedAt: suspended ? (sql`coalesce(${tenants.suspendedAt}, now())` as SQL<Date>) : null }
    const [row] = await tx
      .update(tenants)
      // An update of nothing is no SQL: the slug stands for it.
      .set({ slug, ...settings, ...suspendedAt })
      .where(eq(tenants.slug, slug))
      .returning()
    if (row) await announceAccess(tx, slug)
    return row
  })

/** A keyset page of tenants by name. */
export const listTenants = (db: Tx, page: { limit: number; after?: string | undefined }): Promise<TenantRow[]> =>
  db
    .select()
    .from(tenants)
    .where(page.after === undefined ? undefined : gt(tenants.slug, page.after))
    .orderBy(asc(tenants.slug))
    .limit(page.limit)

const fits = (used: SQL, limit: SQL) => sql`(${limit} is null or ${used} <= ${limit})`

/** Counts `need` (and a running runtime) against its tenant, if the quota has room. One conditional update. */
export const takeQuota = async (tx: Tx, slug: string, { memoryBytes, cpuMillis }: Need): Promise<boolean> =>
  (
    await tx
      .update(tenants)
      .set({
        usedRuntimes: sql`${tenants.usedRuntimes} + 1`,
        usedMemoryBytes: sql`${tenants.usedMemoryBytes} + ${memoryBytes}`,
        usedCpuMillis: sql`${tenants.usedCpuMillis} + ${cpuMillis}`,
      })
      .where(
        and(
          eq(tenants.slug, slug),
          isNull(tenants.suspendedAt),
          fits(sql`${tenants.usedRuntimes} + 1`, sql`${tenants.maxRuntimes}`),
          fits(sql`${tenants.usedMemoryBytes} + ${memoryBytes}`, sql`${tenants.maxMemoryBytes}`),
          fits(sql`${tenants.usedCpuMillis} + ${cpuMillis}`, sql`${tenants.maxCpuMillis}`),
        ),
      )
      .returning({ slug: tenants.slug })
  ).length > 0

/** Gives `need` back. The caller holds the runtime's row with `reserved` true, in the same transaction. */
export const returnQuota = async (tx: Tx, slug: string, { memoryBytes, cpuMillis }: Need): Promise<void> => {
  await tx
    .update(tenants)
    .set({
      usedRuntimes: sql`${tenants.usedRuntimes} - 1`,
      usedMemoryBytes: sql`${tenants.usedMemoryBytes} - ${memoryBytes}`,
      usedCpuMillis: sql`${tenants.usedCpuMillis} - ${cpuMillis}`,
    })
    .where(eq(tenants.slug, slug))
}

/** How a tenant stands with its creates of this minute. */
export type Allowance = { limit: number; remaining: number; resetSeconds: number; isOver: boolean }

/** Counts one create in the running minute. @returns undefined when the tenant has no limit. */
export const countCreate = async (tx: Tx, slug: string): Promise<Allowance | undefined> => {
  const minute = sql`date_trunc('minute', now())`
  const [row] = await tx
    .update(tenants)
    .set({
      createCount: sql`case when ${tenants.createMinute} = ${minute} then least(${tenants.createCount} + 1, ${tenants.createsPerMinute} + 1) else 1 end`,
      createMinute: minute as SQL<Date>,
    })
    .where(and(eq(tenants.slug, slug), sql`${tenants.createsPerMinute} is not null`))
    .returning({
      limit: tenants.createsPerMinute,
      count: tenants.createCount,
      left: sql<number>`ceil(60 - extract(second from now()))::int`,
    })
  if (!row || row.limit === null) return undefined
  const { limit, count, left } = row
  return { limit, remaining: Math.max(0, limit - count), resetSeconds: Math.max(1, left), isOver: count > limit }
}
