import { and, asc, eq, gt, isNull, ne, or, type SQL, sql } from 'drizzle-orm'
import { ulid } from 'ulid'
import type { Db, Tx } from './connect.ts'
import { isAnyOf } from './raw.ts'
import { type HostRow, hosts, type ProfileRow, profiles, runtimes, volumeRemovals } from './schema.ts'

/** Seconds of silence, on the database's clock, after which nothing is placed on a host. */
export const unreachableAfterSeconds = 20
/** Seconds of silence, on the database's clock, after which a host's runtimes are lost. */
export const lostAfterSeconds = 60

/** What a runtime takes from a host while it is reserved there. One slot each. */
export type Need = { memoryBytes: number; cpuMillis: number; gpus: number }

/** Heard of lately, by the database's clock. */
export const isLive = sql`${hosts.lastSeenAt} > now() - make_interval(secs => ${unreachableAfterSeconds})`

/** A host as operators and placement see it, with liveness judged by the database's clock. */
export type HostView = Omit<HostRow, 'fillFrom'> & { live: boolean; lost: boolean }

const view = {
  id: hosts.id,
  name: hosts.name,
  url: hosts.url,
  publicKey: hosts.publicKey,
  certificate: hosts.certificate,
  schedulable: hosts.schedulable,
  memoryBytes: hosts.memoryBytes,
  cpuMillis: hosts.cpuMillis,
  slots: hosts.slots,
  gpus: hosts.gpus,
  reservedMemoryBytes: hosts.reservedMemoryBytes,
  reservedCpuMillis: hosts.reservedCpuMillis,
  reservedSlots: hosts.reservedSlots,
  reservedGpus: hosts.reservedGpus,
  load: hosts.load,
  diskFreeBytes: hosts.diskFreeBytes,
  engineVersion: hosts.engineVersion,
  images: hosts.images,
  labels: hosts.labels,
  createdAt: hosts.createdAt,
  lastSeenAt: hosts.lastSeenAt,
  drainUntil: hosts.drainUntil,
  removedAt: hosts.removedAt,
  live: sql<boolean>`coalesce(${isLive}, false)`,
  lost: sql<boolean>`coalesce(${hosts.lastSeenAt} < now() - make_interval(secs => ${lostAfterSeconds}), false)`,
}

const isMember = isNull(hosts.removedAt)

/** A host that has not been removed. */
export const findHost = async (db: Tx, id: string): Promise<HostView | undefined> =>
  (
    await db
      .select(view)
      .from(hosts)
      .where(and(eq(hosts.id, id), isMember))
  )[0]

/** The host that has the owner's profile, if it has not been removed. */
export const findHome = async (
  db: Tx,
  owner: Pick<ProfileRow, 'tenant' | 'mode' | 'owner'>,
): Promise<HostView | undefined> =>
  (
    await db
      .select(view)
      .from(profiles)
      .innerJoin(hosts, eq(hosts.id, profiles.hostId))
      .where(
        and(
          eq(profiles.tenant, owner.tenant),
          eq(profiles.mode, owner.mode),
          eq(profiles.owner, owner.owner),
          isMember,
        ),
      )
  )[0]

/** All hosts of which `condition` is true. */
export const listHostsWhere = (db: Tx, condition: SQL): Promise<HostView[]> =>
  db.select(view).from(hosts).where(and(isMember, condition)).orderBy(asc(hosts.id))

/** Those of these hosts that have not been removed. */
export const listHostsById = async (db: Tx, ids: string[]): Promise<HostView[]> =>
  ids.length === 0 ? [] : listHostsWhere(db, isAnyOf(hosts.id, ids))

/** A keyset page of hosts by id. */
export const listHosts = (db: Tx, page: { limit: number; after?: string | undefined }): Promise<HostView[]> =>
  db
    .select(view)
    .from(hosts)
    .where(and(isMember, page.after ? gt(hosts.id, page.after) : undefined))
    .orderBy(asc(hosts.id))
    .limit(page.limit)

/** Admits a host, or gives the one with that key its new name, URL and certificate. @returns its id. */
export const putHost = async (
  db: Tx,
  host: Pick<HostRow, 'id' | 'name' | 'url' | 'publicKey' | 'certificate'>,
): Promise<string> => {
  const [row] = await db
    .insert(hosts)
    .values(host)
    .onConflictDoUpdate({
      target: hosts.publicKey,
      set: { name: host.name, url: host.url, certificate: host.certificate, removedAt: null },
    })
    .returning({ id: hosts.id })
  if (!row) throw new Error('the database returned no row for a new host')
  return row.id
}

/** Lets runtimes be placed on a host, or not; the former ends a drain. @returns false when there is no such host */
export const setSchedulable = async (db: Tx, id: string, schedulable: boolean): Promise<boolean> =>
  (
    await db
      .update(hosts)
      .set({ schedulable, ...(schedulable ? { drainUntil: null } : {}) })
      .where(and(eq(hosts.id, id), isMember))
      .returning({ id: hosts.id })
  ).length > 0

/** What is on a host that would be lost with it. */
export type HostContents = { runtimes: number; profiles: number }

/**
 * Removes a host: from then on nothing it signs is believed and nothing is placed or sent there. Its runtimes are the
 * caller's to end (`loseRuntimesOf`).
 *
 * @returns undefined when there is no such host; else whether it was removed, and what is on it
 */
export const removeHost = (
  db: Db,
  id: string,
  { force }: { force: boolean },
): Promise<(HostContents & { removed: boolean }) | undefined> =>
  db.transaction(async tx => {
    // Locked first: a placement under way is counted, and the next one finds no host.
    const [host] = await tx
      .select({ id: hosts.id })
      .from(hosts)
      .where(and(eq(hosts.id, id), isMember))
      .for('update')
    if (!host) return undefined
    const contents = {
      // What is stopped holds nothing there but its profile, which is counted by itself.
      runtimes: await tx.$count(
        runtimes,
        and(
          eq(runtimes.hostId, id),
          ne(runtimes.state, 'deleted'),
          or(eq(runtimes.reserved, true), eq(runtimes.state, 'deleting')),
        ),
      ),
      // One that is on its way there counts: its move ends when the host goes.
      profiles: await tx.$count(profiles, or(eq(profiles.hostId, id), eq(profiles.movingTo, id))),
    }
    const removed = force || (contents.runtimes === 0 && contents.profiles === 0)
    if (removed) {
      await tx.update(hosts).set({ removedAt: sql`now()` }).where(eq(hosts.id, id))
      await tx.update(profiles).set({ movingTo: null, movingUntil: null }).where(eq(profiles.movingTo, id))
      const forgotten = await tx.delete(profiles).where(eq(profiles.hostId, id)).returning()
      // Should the host join again, what it still has of them is nobody's.
      for (const { tenant, ownerHash } of forgotten)
        await tx.insert(volumeRemovals).values({ id: `vr_${ulid()}`, hostId: id, tenant, ownerHash })
    }
    return { ...contents, removed }
  })

const hasRoomFor = (need: Need) =>
  and(
    sql`${hosts.reservedMemoryBytes} + ${need.memoryBytes} <= ${hosts.memoryBytes}`,
    sql`${hosts.reservedCpuMillis} + ${need.cpuMillis} <= ${hosts.cpuMillis}`,
    sql`${hosts.reservedGpus} + ${need.gpus} <= ${hosts.gpus}`,
    sql`${hosts.reservedSlots} + 1 <= ${hosts.slots}`,
  )

const take = async (tx: Tx, hostId: string, need: Need, condition: SQL | undefined): Promise<boolean> =>
  (
    await tx
      .update(hosts)
      .set({
        reservedMemoryBytes: sql`${hosts.reservedMemoryBytes} + ${need.memoryBytes}`,
        reservedCpuMillis: sql`${hosts.reservedCpuMillis} + ${need.cpuMillis}`,
        reservedGpus: sql`${hosts.reservedGpus} + ${need.gpus}`,
        reservedSlots: sql`${hosts.reservedSlots} + 1`,
      })
      .where(and(eq(hosts.id, hostId), isMember, hasRoomFor(need), condition))
      .returning({ id: hosts.id })
  ).length > 0

/** Takes `need` for a container that is there already: a host that is cordoned, or only just back, has its own again. */
export const reserveAgain = (tx: Tx, hostId: string, need: Need): Promise<boolean> => take(tx, hostId, need, undefined)

/** Gives `need` back. The caller holds the runtime's row with `reserved` true, in the same transaction. */
export const release = async (tx: Tx, hostId: string, need: Need): Promise<void> => {
  await tx
    .update(hosts)
    .set({
      reservedMemoryBytes: sql`${hosts.reservedMemoryBytes} - ${need.memoryBytes}`,
      reservedCpuMillis: sql`${hosts.reservedCpuMillis} - ${need.cpuMillis}`,
      reservedGpus: sql`${hosts.reservedGpus} - ${need.gpus}`,
      reservedSlots: sql`${hosts.reservedSlots} - 1`,
    })
    .where(eq(hosts.id, hostId))
}

export const findProfile = async (
  db: Tx,
  owner: Pick<ProfileRow, 'tenant' | 'mode' | 'owner'>,
): Promise<ProfileRow | undefined> =>
  (
    await db
      .select()
      .from(profiles)
      .where(and(eq(profiles.tenant, owner.tenant), eq(profiles.mode, owner.mode), eq(profiles.owner, owner.owner)))
  )[0]

/**
 * Gives up a profile whose host is silent, so that its owner can start elsewhere with an empty one. Its volume goes once
 * the host is back.
 *
 * @returns what was given up
 */
export const forgetProfileAway = async (
  db: Tx,
  owner: Pick<ProfileRow, 'tenant' | 'mode' | 'owner'>,
): Promise<ProfileRow | undefined> =>
  (
    await db
      .delete(profiles)
      .where(
        and(
          eq(profiles.tenant, owner.tenant),
          eq(profiles.mode, owner.mode),
          eq(profiles.owner, owner.owner),
          sql`not exists (select 1 from ${hosts} where ${hosts.id} = ${profiles.hostId} and ${isMember} and ${isLive})`,
          // One that is in use there, as far as we know, is not given up: it is the host's silence that ends that use.
          sql`not exists (
            select 1 from ${runtimes} where ${runtimes.tenant} = ${profiles.tenant} and ${runtimes.mode} = ${profiles.mode}
              and ${runtimes.owner} = ${profiles.owner} and ${runtimes.reserved} and ${runtimes.state} <> 'deleted'
          )`,
        ),
      )
      .returning()
  )[0]

/** Forgets a profile whose volume is gone. @returns it as it was by then */
export const forgetProfile = async (db: Tx, id: string): Promise<ProfileRow | undefined> =>
  (await db.delete(profiles).where(eq(profiles.id, id)).returning())[0]
