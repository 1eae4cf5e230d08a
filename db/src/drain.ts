import {
  and,
  eq,
  exists,
  getTableColumns,
  inArray,
  isNotNull,
  isNull,
  ne,
  notExists,
  or,
  type SQL,
  sql,
} from 'drizzle-orm'
import { ulid } from 'ulid'
import type { Db, Tx } from './connect.ts'
import { type HostView, listHostsWhere } from './hosts.ts'
import { inMs } from './runtimes.ts'
import { hosts, type ProfileRow, profiles, type RuntimeRow, runtimes, volumeRemovals } from './schema.ts'

/**
 * Begins, or hastens, the draining of a host: nothing new comes, what runs has `seconds` to end by itself.
 *
 * @returns false when there is no such host
 */
export const drainHost = async (db: Tx, id: string, seconds: number): Promise<boolean> =>
  (
    await db
      .update(hosts)
      .set({ schedulable: false, drainUntil: inMs(seconds * 1000) })
      .where(and(eq(hosts.id, id), isNull(hosts.removedAt)))
      .returning({ id: hosts.id })
  ).length > 0

export const listDraining = (db: Tx): Promise<HostView[]> => listHostsWhere(db, isNotNull(hosts.drainUntil))

/** Runtimes that still run on a host whose time to end by themselves is over. */
export const listOverdue = (db: Tx, hostId: string, limit = 50): Promise<RuntimeRow[]> =>
  db
    .select()
    .from(runtimes)
    .where(
      and(
        eq(runtimes.hostId, hostId),
        inArray(runtimes.state, ['running', 'paused']),
        exists(
          db
            .select({ id: hosts.id })
            .from(hosts)
            .where(and(eq(hosts.id, hostId), sql`${hosts.drainUntil} < now()`)),
        ),
      ),
    )
    .limit(limit)

const ownersRuntime = and(
  eq(runtimes.tenant, profiles.tenant),
  eq(runtimes.mode, profiles.mode),
  eq(runtimes.owner, profiles.owner),
)
/** A runtime that holds room, or is about to, has the volume in use. */
const isInUse = and(
  // Nor does a deleted one; said so that the index of live ones is used.
  ne(runtimes.state, 'deleted'),
  or(eq(runtimes.reserved, true), inArray(runtimes.state, ['starting', 'running', 'paused', 'stopping'])),
)

const isFree = or(isNull(profiles.movingUntil), sql`${profiles.movingUntil} < now()`)

/** Profiles on a host that nobody uses and nobody is moving. */
export const listIdleProfiles = (db: Tx, hostId: string, limit = 10): Promise<ProfileRow[]> =>
  db
    .select()
    .from(profiles)
    .where(
      and(
        eq(profiles.hostId, hostId),
        isFree,
        notExists(db.select({ id: runtimes.id }).from(runtimes).where(and(ownersRuntime, isInUse))),
      ),
    )
    // In no order: one that cannot be moved must not hold up those behind it.
    .orderBy(sql`random()`)
    .limit(limit)

const isDueOn = (hostId: string, ownerHash: string) =>
  and(eq(volumeRemovals.hostId, hostId), eq(volumeRemovals.ownerHash, ownerHash))

/** Hosts that have yet to remove a volume of that name: no profile of its owner goes there before. */
export const hostsYetToRemove = async (db: Tx, ownerHash: string): Promise<Set<string>> => {
  const due = await db
    .selectDistinct({ hostId: volumeRemovals.hostId })
    .from(volumeRemovals)
    .where(eq(volumeRemovals.ownerHash, ownerHash))
  return new Set(due.map(({ hostId }) => hostId))
}

/**
 * Takes a profile for a move: nothing starts on it for `ms`, which whoever moves it renews. Each claim is a move of its own,
 * with an id that nothing else has: one that has lapsed has no say in the next, be it to the same host.
 *
 * @returns undefined when it is in use, somebody else moves it, or the host has yet to remove what an earlier move, or
 *   an earlier profile, has left there
 */
export const claimMove = (db: Db, seen: ProfileRow, to: string, ms: number): Promise<ProfileRow | undefined> =>
  db.transaction(async tx => {
    if (!(await isStillHost(tx, to))) return undefined
    // Locked first: a start that was faster is seen below, and a later one sees the move.
    const [profile] = await tx
      .select()
      .from(profiles)
      .where(and(eq(profiles.id, seen.id), eq(profiles.hostId, seen.hostId), isFree))
      .for('update')
    if (!profile) return undefined
    const [user] = await tx
      .select({ id: runtimes.id })
      .from(runtimes)
      .where(
        and(
          eq(runtimes.tenant, profile.tenant),
          eq(runtimes.mode, profile.mode),
          eq(runtimes.owner, profile.owner),
          isInUse,
        ),
      )
      .limit(1)
    if (user) return undefined
    if (profile.movingTo !== null) {
      // A copy that an earlier move has left, half-way or whole, and that its mover may still be writing.
      await dueRemoval(tx, profile, profile.movingTo)
      await tx.update(profiles).set(notMoving).where(eq(profiles.id, profile.id))
    }
    // It would take what is copied there with it.
    if ((await tx.$count(volumeRemovals, isDueOn(to, profile.ownerHash))) > 0) return undefined
    const [claimed] = await tx
      .update(profiles)
      .set({ movingTo: to, movingUntil: inMs(ms), moveId: `mv_${ulid()}` })
      .where(eq(profiles.id, profile.id))
      .returning()
    return claimed
  })

/** Holds a host until the transaction ends; the host before its profiles, as when it is removed. */
const isStillHost = async (tx: Tx, id: string): Promise<boolean> =>
  (
    await tx
      .select({ id: hosts.id })
      .from(hosts)
      .where(and(eq(hosts.id, id), isNull(hosts.removedAt)))
      .for('share')
  ).length > 0

const notMoving = { movingTo: null, movingUntil: null, moveId: null }

/** Just this move, while it has not lapsed. */
const isMoveOf = (claimed: ProfileRow): SQL | undefined =>
  and(
    eq(profiles.id, claimed.id),
    eq(profiles.moveId, claimed.moveId ?? ''),
    eq(profiles.hostId, claimed.hostId),
    eq(profiles.movingTo, claimed.movingTo ?? ''),
    sql`${profiles.movingUntil} > now()`,
  )

/** @returns false when the move is not this one's any more */
export const renewMove = async (db: Tx, claimed: ProfileRow, ms: number): Promise<boolean> =>
  (
    await db
      .update(profiles)
      .set({ movingUntil: inMs(ms) })
      .where(isMoveOf(claimed))
      .returning({ id: profiles.id })
  ).length > 0

/** The copy is whole: the profile lives there now, and its old volume is to be removed. @returns false as `renewMove` */
export const finishMove = (db: Db, claimed: ProfileRow): Promise<boolean> =>
  db.transaction(async tx => {
    const { movingTo: to, hostId: from } = claimed
    if (to === null || !(await isStillHost(tx, to))) return false
    const [moved] = await tx
      .update(profiles)
      .set({ hostId: to, ...notMoving })
      .where(isMoveOf(claimed))
      .returning()
    if (!moved) return false
    // A removal that was still due there would take the profile that has just come.
    await tx.delete(volumeRemovals).where(isDueOn(to, moved.ownerHash))
    await dueRemoval(tx, moved, from)
    return true
  })

/** The copy failed: the profile stays where it is, and what has come of the copy is to be removed. */
export const abandonMove = (db: Db, claimed: ProfileRow): Promise<void> =>
  db.transaction(async tx => {
    if (claimed.movingTo === null) return
    await tx
      .update(profiles)
      .set(notMoving)
      .where(and(eq(profiles.id, claimed.id), eq(profiles.moveId, claimed.moveId ?? '')))
    // It may have been deleted meanwhile: the copy goes all the same, unless it is another move's by now.
    const [there] = await tx
      .select({ id: profiles.id })
      .from(profiles)
      .where(
        and(
          eq(profiles.ownerHash, claimed.ownerHash),
          or(eq(profiles.hostId, claimed.movingTo), eq(profiles.movingTo, claimed.movingTo)),
        ),
      )
    if (!there) await dueRemoval(tx, claimed, claimed.movingTo)
  })

/** Remembers a volume that a host is to remove. */
export const dueRemoval = async (
  tx: Tx,
  { tenant, ownerHash }: Pick<ProfileRow, 'tenant' | 'ownerHash'>,
  hostId: string,
): Promise<void> => {
  await tx.insert(volumeRemovals).values({ id: `vr_${ulid()}`, hostId, tenant, ownerHash })
}

export type VolumeRemovalRow = typeof volumeRemovals.$inferSelect

/** What is nobody's profile where it is to be removed, nor about to be, and that nobody is removing. */
const mayBeRemoved = (db: Tx) =>
  and(
    or(isNull(volumeRemovals.claimedUntil), sql`${volumeRemovals.claimedUntil} < now()`),
    notExists(
      db
        .select({ id: profiles.id })
        .from(profiles)
        .where(
          and(
            eq(profiles.ownerHash, volumeRemovals.ownerHash),
            or(eq(profiles.hostId, volumeRemovals.hostId), eq(profiles.movingTo, volumeRemovals.hostId)),
          ),
        ),
    ),
  )

/** Volumes to remove, on hosts that answer. */
export const listDueRemovals = (db: Tx, limit = 20): Promise<VolumeRemovalRow[]> =>
  db
    .select(getTableColumns(volumeRemovals))
    .from(volumeRemovals)
    .innerJoin(hosts, eq(hosts.id, volumeRemovals.hostId))
    .where(and(isNull(hosts.removedAt), sql`${hosts.lastSeenAt} > now() - interval '20 s'`, mayBeRemoved(db)))
    .orderBy(sql`random()`)
    .limit(limit)

/**
 * Takes a removal, before its host is told: one that was told by two could remove what has come there after the first.
 *
 * @param ms longer than a command to a host can be on its way
 * @returns undefined when somebody else has it, or it is not to be done any more
 */
export const claimRemoval = async (db: Tx, id: string, ms: number): Promise<VolumeRemovalRow | undefined> =>
  (
    await db
      .update(volumeRemovals)
      .set({ claim: `vc_${ulid()}`, claimedUntil: inMs(ms) })
      .where(and(eq(volumeRemovals.id, id), mayBeRemoved(db)))
      .returning()
  )[0]

const isClaimOf = ({ id, claim }: VolumeRemovalRow): SQL | undefined =>
  and(eq(volumeRemovals.id, id), eq(volumeRemovals.claim, claim ?? ''))

/** The host has done nothing, and nothing is on its way to it: anybody may tell it again. */
export const releaseRemoval = async (db: Tx, claimed: VolumeRemovalRow): Promise<void> => {
  await db.update(volumeRemovals).set({ claim: null, claimedUntil: null }).where(isClaimOf(claimed))
}

/** The volume is gone. Nothing happens when the claim is not this one's any more: what others have sent may still arrive. */
export const forgetRemoval = async (db: Tx, claimed: VolumeRemovalRow): Promise<void> => {
  await db.delete(volumeRemovals).where(and(isClaimOf(claimed), sql`${volumeRemovals.claimedUntil} > now()`))
}

/** What is still on a host: runtimes that hold room there or are being deleted, and profiles. */
export const countLeft = async (db: Tx, hostId: string): Promise<{ runtimes: number; profiles: number }> => ({
  runtimes: await db.$count(
    runtimes,
    and(
      eq(runtimes.hostId, hostId),
      ne(runtimes.state, 'deleted'),
      or(eq(runtimes.reserved, true), eq(runtimes.state, 'deleting')),
    ),
  ),
  profiles: await db.$count(profiles, eq(profiles.hostId, hostId)),
})
