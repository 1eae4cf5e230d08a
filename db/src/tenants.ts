import { and, asc, eq, gt, isNull, ne, type SQL, sql } from 'drizzle-orm'
import type { Db, Tx } from './connect.ts'
import type { Need } from './hosts.ts'
import { roomChannel } from './notices.ts'
import { type RuntimeRow, runtimes, type TenantRow, tenants } from './schema.ts'
import { warmTenant } from './states.ts'
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
    if (!row) return row
    await announceAccess(tx, 'tenant', slug)
    // The cap may have been raised.
    announceRoom(tx, slug)
    return row
  })

/** A keyset page of tenants by name, without the one that is nobody's. */
export const listTenants = (db: Tx, page: { limit: number; after?: string | undefined }): Promise<TenantRow[]> =>
  db
    .select()
    .from(tenants)
    .where(and(ne(tenants.slug, warmTenant), page.after === undefined ? undefined : gt(tenants.slug, page.after)))
    .orderBy(asc(tenants.slug))
    .limit(page.limit)

const fits = (used: SQL, limit: SQL) => sql`(${limit} is null or ${used} <= ${limit})`

/** Tells who stands in line to look again; nobody is told when nobody does. */
export const announceRoom = (tx: Tx, slug?: string): void => tx.notices.tell(roomChannel, slug ?? '*')

type InLine = Pick<RuntimeRow, 'id' | 'tenant' | 'lineSince' | 'lineFor'>

/** Nobody waits for quota before this runtime: first in, first out, and who has just come is last. */
const isFirst = ({ id, tenant, lineSince, lineFor }: InLine) => sql`not exists (
  select 1 from ${runtimes} other
  where other.line_since is not null and other.tenant = ${tenant} and other.id <> ${id} and other.line_for = 'quota' and other.line_until > now()
    and (other.line_since, other.id) < (coalesce(${(lineFor === 'quota' && lineSince?.toISOString()) || null}::timestamptz, 'infinity'), ${id})
)`

/** Counts a runtime that starts or runs, if the tenant may have one more. One conditional update. */
export const countRuntime = async (tx: Tx, runtime: InLine): Promise<boolean> =>
  take(tx, runtime, { memoryBytes: 0, cpuMillis: 0 }, isFirst(runtime))

/** Counts `need` too, of what runs already and was only given up for lost: nobody in line comes before it. */
export const takeQuotaAgain = (tx: Tx, runtime: InLine, need: Need): Promise<boolean> =>
  take(tx, runtime, need, undefined)

const take = async (
  tx: Tx,
  runtime: InLine,
  { memoryBytes, cpuMillis }: Pick<Need, 'memoryBytes' | 'cpuMillis'>,
  condition: SQL | undefined,
): Promise<boolean> =>
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
          eq(tenants.slug, runtime.tenant),
          isNull(tenants.suspendedAt),
          fits(sql`${tenants.usedRuntimes} + 1`, sql`${tenants.maxRuntimes}`),
          // What takes no more of it is not held up by it.
          memoryBytes === 0
            ? undefined
            : fits(sql`${tenants.usedMemoryBytes} + ${memoryBytes}`, sql`${tenants.maxMemoryBytes}`),
          cpuMillis === 0
            ? undefined
            : fits(sql`${tenants.usedCpuMillis} + ${cpuMillis}`, sql`${tenants.maxCpuMillis}`),
          condition,
        ),
      )
      .returning({ slug: tenants.slug })
  ).length > 0

/**
 * Gives `need` back. The caller holds the runtime's row with `reserved` true, in the same transaction.
 *
 * @param counted whether it also counted as one of the tenant's runtimes
 */
export const returnQuota = async (
  tx: Tx,
  slug: string,
  { memoryBytes, cpuMillis }: Pick<Need, 'memoryBytes' | 'cpuMillis'>,
  counted: boolean,
): Promise<void> => {
  await tx
    .update(tenants)
    .set({
      usedRuntimes: sql`${tenants.usedRuntimes} - ${counted ? 1 : 0}`,
      usedMemoryBytes: sql`${tenants.usedMemoryBytes} - ${memoryBytes}`,
      usedCpuMillis: sql`${tenants.usedCpuMillis} - ${cpuMillis}`,
    })
    .where(eq(tenants.slug, slug))
  announceRoom(tx, slug)
}

/** What of a tenant's quota is in the way of `need`, each in a sentence's part; empty: nothing is. */
export const overQuota = (
  tenant: TenantRow,
  { memoryBytes, cpuMillis }: Pick<Need, 'memoryBytes' | 'cpuMillis'>,
): { what: 'runtimes' | 'memory' | 'cpu'; why: string }[] => {
  const { maxRuntimes, maxMemoryBytes, maxCpuMillis, usedRuntimes, usedMemoryBytes, usedCpuMillis } = tenant
  const mib = (bytes: number) => `${Math.ceil(bytes / 1024 ** 2)} MiB`
  const over: { what: 'runtimes' | 'memory' | 'cpu'; why: string }[] = []
  if (maxRuntimes !== null && usedRuntimes + 1 > maxRuntimes)
    over.push({ what: 'runtimes', why: `${usedRuntimes} of ${maxRuntimes} runtimes are in use` })
  if (maxMemoryBytes !== null && memoryBytes > 0 && usedMemoryBytes + memoryBytes > maxMemoryBytes)
    over.push({
      what: 'memory',
      why: `${mib(memoryBytes)} of memory are needed, ${mib(usedMemoryBytes)} of ${mib(maxMemoryBytes)} are in use`,
    })
  if (maxCpuMillis !== null && cpuMillis > 0 && usedCpuMillis + cpuMillis > maxCpuMillis)
    over.push({
      what: 'cpu',
      why: `${cpuMillis / 1000} CPUs are needed, ${usedCpuMillis / 1000} of ${maxCpuMillis / 1000} are in use`,
    })
  return over
}

/** How a tenant stands with its creates of this minute. */
export type Allowance = { limit: number; remaining: number; resetSeconds: number; isOver: boolean }
