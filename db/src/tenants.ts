import { eq } from 'drizzle-orm'
import type { Db, Tx } from './connect.ts'
import { signingKeys, type TenantRow, tenants } from './schema.ts'

export const findTenant = async (db: Tx, slug: string): Promise<TenantRow | undefined> =>
  (await db.select().from(tenants).where(eq(tenants.slug, slug)))[0]

/** Creates the tenant, or leaves the one that exists with the mode given now. */
export const putTenant = async (db: Tx, tenant: { slug: string; mode: string }): Promise<void> => {
  await db
    .insert(tenants)
    .values(tenant)
    .onConflictDoUpdate({ target: tenants.slug, set: { mode: tenant.mode } })
}

export type SigningKeyRow = typeof signingKeys.$inferSelect

export const listSigningKeys = (db: Tx): Promise<SigningKeyRow[]> =>
  db.select().from(signingKeys).orderBy(signingKeys.createdAt, signingKeys.kid)

/** Adds `key` only where there is none yet: gateways that start together agree on the first one. */
export const addFirstSigningKey = (
  db: Db,
  key: Pick<SigningKeyRow, 'kid' | 'publicKey' | 'sealedPrivateKey'>,
): Promise<SigningKeyRow[]> =>
  db.transaction(async tx => {
    const lock = await listSigningKeysLocked(tx)
    if (lock.length > 0) return lock
    return tx.insert(signingKeys).values(key).returning()
  })

const listSigningKeysLocked = async (tx: Tx): Promise<SigningKeyRow[]> => {
  await tx.execute('lock table signing_keys in share row exclusive mode')
  return listSigningKeys(tx)
}
