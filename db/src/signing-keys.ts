import { and, desc, gt, isNull, lt, or, sql } from 'drizzle-orm'
import type { Db, Tx } from './connect.ts'
import { signingKeys } from './schema.ts'

export type SigningKeyRow = typeof signingKeys.$inferSelect
export type NewSigningKey = Pick<SigningKeyRow, 'kid' | 'publicKey' | 'sealedPrivateKey'>

/** Keys that are published: those that sign, those that will, and those whose tokens may still be good. Oldest first. */
export const listSigningKeys = (db: Tx): Promise<SigningKeyRow[]> =>
  db
    .select()
    .from(signingKeys)
    .where(or(isNull(signingKeys.retiredAt), gt(signingKeys.retiredAt, sql`now()`)))
    .orderBy(signingKeys.activeAt, signingKeys.kid)

/** Adds `key` only where there is none yet: gateways that start together agree on the first one. */
export const addFirstSigningKey = (db: Db, key: NewSigningKey): Promise<SigningKeyRow[]> =>
  db.transaction(async tx => {
    await lockKeys(tx)
    const known = await listSigningKeys(tx)
    return known.length > 0 ? known : tx.insert(signingKeys).values(key).returning()
  })

export type Rotation = {
  /** Seconds a key signs before the next one takes over. 0: now, for a rotation by hand. */
  everySeconds: number
  /** Seconds a key is published before it signs. */
  leadSeconds: number
  /** Seconds that the longest token lives: so long a key is published after it has signed its last. */
  tailSeconds: number
}

/**
 * Publishes the next key when the newest one has signed for long enough, and sets when the older ones end. One gateway
 * does it; the others see that it is done.
 *
 * @param make called only when a key is due
 * @returns whether there is a new key
 */
export const rotateSigningKeys = (db: Db, rotation: Rotation, make: () => Promise<NewSigningKey>): Promise<boolean> =>
  db.transaction(async tx => {
    await lockKeys(tx)
    const seconds = (n: number) => sql`make_interval(secs => ${n})`
    const [newest] = await tx.select().from(signingKeys).orderBy(desc(signingKeys.activeAt)).limit(1)
    const [due] = await tx
      .select({ kid: signingKeys.kid })
      .from(signingKeys)
      .where(
        and(
          sql`${signingKeys.kid} = ${newest?.kid ?? ''}`,
          // One that does not sign yet is the next key already.
          lt(signingKeys.activeAt, sql`now() - ${seconds(rotation.everySeconds)}`),
        ),
      )
    if (!due) return false
    const activeAt = sql<Date>`now() + ${seconds(rotation.leadSeconds)}`
    await tx.insert(signingKeys).values({ ...(await make()), activeAt })
    await tx
      .update(signingKeys)
      .set({ retiredAt: sql`now() + ${seconds(rotation.leadSeconds + rotation.tailSeconds)}` })
      .where(and(isNull(signingKeys.retiredAt), lt(signingKeys.activeAt, sql`now()`)))
    return true
  })

const lockKeys = async (tx: Tx): Promise<void> => {
  await tx.execute('lock table signing_keys in share row exclusive mode')
}
