import { and, eq, lt, sql } from 'drizzle-orm'
import type { Tx } from './connect.ts'
import { audit } from './schema.ts'

export type AuditRow = typeof audit.$inferSelect
export type AuditEntry = Omit<AuditRow, 'seq' | 'at'>

export const addAudit = async (db: Tx, entries: AuditEntry[]): Promise<void> => {
  if (entries.length > 0) await db.insert(audit).values(entries)
}

/** A keyset page of a tenant's audit, newest first. */
export const listAudit = (
  db: Tx,
  tenant: string,
  filter: { action?: string | undefined; target?: string | undefined; subject?: string | undefined },
  page: { limit: number; before?: number | undefined },
): Promise<AuditRow[]> =>
  db
    .select()
    .from(audit)
    .where(
      and(
        eq(audit.tenant, tenant),
        filter.action === undefined ? undefined : eq(audit.action, filter.action),
        filter.target === undefined ? undefined : eq(audit.target, filter.target),
        filter.subject === undefined ? undefined : eq(audit.subject, filter.subject),
        page.before === undefined ? undefined : lt(audit.seq, page.before),
      ),
    )
    .orderBy(sql`${audit.seq} desc`)
    .limit(page.limit)
