import { createHash, randomUUID } from 'node:crypto'
import { and, eq, gt, isNull, lt, sql } from 'drizzle-orm'
import type { Tx } from './connect.ts'
import { idempotencyKeys, joinTokens, tickets } from './schema.ts'

/** SHA-256 in hex: what the database keeps of a credential, so that reading a backup opens nothing. */
export const digestOf = (...parts: string[]): string => createHash('sha256').update(parts.join('\u001f')).digest('hex')

const inSeconds = (seconds: number) => sql`now() + make_interval(secs => ${seconds})`

export type Ticket = typeof tickets.$inferSelect

/** Remembers a ticket for `seconds`. @returns when it expires, by the database's clock. */
export const addTicket = async (
  db: Tx,
  token: string,
  ticket: Omit<Ticket, 'digest' | 'expiresAt'>,
  seconds: number,
): Promise<Date> => {
  const [row] = await db
    .insert(tickets)
    .values({ ...ticket, digest: digestOf(token), expiresAt: inSeconds(seconds) })
    .returning({ expiresAt: tickets.expiresAt })
  if (!row) throw new Error('the database returned no row for a new ticket')
  return row.expiresAt
}

/** Uses a ticket up: the first caller gets it, every later one gets undefined, on whichever gateway. */
export const takeTicket = async (db: Tx, token: string, ownerHash: string): Promise<Ticket | undefined> =>
  (
    await db
      .delete(tickets)
      .where(
        and(eq(tickets.digest, digestOf(token)), eq(tickets.ownerHash, ownerHash), gt(tickets.expiresAt, sql`now()`)),
      )
      .returning()
  )[0]

export const addJoinToken = async (db: Tx, token: string, createdBy: string, seconds: number): Promise<Date> => {
  const [row] = await db
    .insert(joinTokens)
    .values({ digest: digestOf(token), createdBy, expiresAt: inSeconds(seconds) })
    .returning({ expiresAt: joinTokens.expiresAt })
  if (!row) throw new Error('the database returned no row for a new join token')
  return row.expiresAt
}

/** Whether the token was good; it is not any more. */
export const takeJoinToken = async (db: Tx, token: string): Promise<boolean> =>
  (
    await db
      .delete(joinTokens)
      .where(and(eq(joinTokens.digest, digestOf(token)), gt(joinTokens.expiresAt, sql`now()`)))
      .returning()
  ).length > 0

export type Replay =
  | { kind: 'first'; claim: string }
  | { kind: 'mismatch' }
  | { kind: 'at-work' }
  | { kind: 'done'; status: number; body: Record<string, unknown> }

/**
 * Claims an `Idempotency-Key`. A claim whose request died, with its gateway say, is free again after a while.
 * @param seconds how long such a request may take; ten minutes unless told, twice the longest
 */
export const claimIdempotencyKey = async (
  db: Tx,
  digest: string,
  requestDigest: string,
  seconds = 600,
): Promise<Replay> => {
  await db
    .delete(idempotencyKeys)
    .where(
      and(
        eq(idempotencyKeys.digest, digest),
        isNull(idempotencyKeys.status),
        lt(idempotencyKeys.createdAt, inSeconds(-seconds)),
      ),
    )
  const claim = randomUUID()
  const added = await db
    .insert(idempotencyKeys)
    .values({ digest, requestDigest, claim })
    .onConflictDoNothing()
    .returning({ digest: idempotencyKeys.digest })
  if (added.length > 0) return { kind: 'first', claim }
  const [row] = await db.select().from(idempotencyKeys).where(eq(idempotencyKeys.digest, digest))
  if (!row) return { kind: 'at-work' }
  if (row.requestDigest !== requestDigest) return { kind: 'mismatch' }
  if (row.status === null || row.body === null) return { kind: 'at-work' }
  return { kind: 'done', status: row.status, body: row.body }
}

type Claimed = { digest: string; claim: string }

const isClaim = ({ digest, claim }: Claimed) =>
  and(eq(idempotencyKeys.digest, digest), eq(idempotencyKeys.claim, claim))

/** Keeps an answer for replay, if the key is still this claim's. */
export const keepIdempotentAnswer = async (
  db: Tx,
  claimed: Claimed,
  status: number,
  body: Record<string, unknown>,
): Promise<void> => {
  await db.update(idempotencyKeys).set({ status, body }).where(isClaim(claimed))
}

/** Frees a key whose request ended without an answer worth keeping, if it is still this claim's. */
export const dropIdempotencyKey = async (db: Tx, claimed: Claimed): Promise<void> => {
  await db.delete(idempotencyKeys).where(isClaim(claimed))
}

/** Removes what has expired: tickets, join tokens, and idempotent answers older than a day. */
export const dropExpired = async (db: Tx): Promise<void> => {
  await db.delete(tickets).where(lt(tickets.expiresAt, sql`now()`))
  await db.delete(joinTokens).where(lt(joinTokens.expiresAt, sql`now()`))
  await db.delete(idempotencyKeys).where(lt(idempotencyKeys.createdAt, inSeconds(-86_400)))
}
