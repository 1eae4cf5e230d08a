import { sql } from 'drizzle-orm'
import {
  bigint,
  bigserial,
  boolean,
  check,
  index,
  integer,
  json,
  jsonb,
  pgTable,
  real,
  text,
  timestamp,
  uniqueIndex,
} from 'drizzle-orm/pg-core'
import type {
  AtCap,
  ClaimMapping,
  EventData,
  IdlePolicy,
  LineFor,
  RequestedStart,
  RuntimeError,
  RuntimeState,
} from './states.ts'

const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })
const bytes = (name: string) => bigint(name, { mode: 'number' })

export const tenants = pgTable(
  'tenants',
  {
    slug: text().primaryKey(),
    /** Isolation mode of requests that name none. */
    mode: text().notNull().default('shared'),
    /** Set while nobody of this tenant is let in. */
    suspendedAt: at('suspended_at'),
    /** Origins whose pages may frame this tenant's live views. */
    frameAncestors: jsonb('frame_ancestors').$type<string[]>().notNull().default([]),
    /** Null: no limit. Runtimes count while they start or run; memory and CPU as long as they are reserved. */
    maxRuntimes: integer('max_runtimes'),
    maxMemoryBytes: bytes('max_memory_bytes'),
    maxCpuMillis: integer('max_cpu_millis'),
    createsPerMinute: integer('creates_per_minute'),
    atCap: text('at_cap').$type<AtCap>().notNull().default('reject'),
    /** Most requests that wait in line at the cap. */
    queueLimit: integer('queue_limit').notNull().default(100),
    usedRuntimes: integer('used_runtimes').notNull().default(0),
    usedMemoryBytes: bytes('used_memory_bytes').notNull().default(0),
    usedCpuMillis: integer('used_cpu_millis').notNull().default(0),
    /** The minute whose creates are counted, and how many there were. */
    createMinute: at('create_minute'),
    createCount: integer('create_count').notNull().default(0),
    /** When one of its line for room on the hosts was placed last: tenants take turns. Null: never yet. */
    servedAt: at('served_at'),
    createdAt: at('created_at').notNull().defaultNow(),
  },
  t => [
    check(
      'tenants_used_not_negative',
      sql`${t.usedRuntimes} >= 0 and ${t.usedMemoryBytes} >= 0 and ${t.usedCpuMillis} >= 0`,
    ),
  ],
)

export const hosts = pgTable(
  'hosts',
  {
    id: text().primaryKey(),
    name: text().notNull(),
    /** Where the gateway reaches the agent; called back and checked when the host joined. */
    url: text().notNull(),
    /** Raw Ed25519 public key, base64url: the host's identity. */
    publicKey: text('public_key').notNull(),
    /** The TLS certificate (PEM) that its agent serves with, pinned when it joined. Null: plain, or TLS is done elsewhere. */
    certificate: text(),
    schedulable: boolean().notNull().default(true),
    memoryBytes: bytes('memory_bytes').notNull().default(0),
    cpuMillis: integer('cpu_millis').notNull().default(0),
    slots: integer().notNull().default(0),
    gpus: integer().notNull().default(0),
    reservedMemoryBytes: bytes('reserved_memory_bytes').notNull().default(0),
    reservedCpuMillis: integer('reserved_cpu_millis').notNull().default(0),
    reservedSlots: integer('reserved_slots').notNull().default(0),
    reservedGpus: integer('reserved_gpus').notNull().default(0),
    load: real().notNull().default(0),
    /** Free where Docker keeps its data; null: not told. */
    diskFreeBytes: bytes('disk_free_bytes'),
    engineVersion: text('engine_version').notNull().default(''),
    images: jsonb().$type<string[]>().notNull().default([]),
    labels: jsonb().$type<Record<string, string>>().notNull().default({}),
    createdAt: at('created_at').notNull().defaultNow(),
    /** Null until the first heartbeat. Always the database's clock. */
    lastSeenAt: at('last_seen_at'),
    /** Set while it is drained: what still runs there then is stopped, and profiles go to other hosts. */
    drainUntil: at('drain_until'),
    /** From then on a warm runtime may be started there: one at a time, and not at once again after one that failed. Null: now. */
    fillFrom: at('fill_from'),
    /** Set when an operator removed it: nothing it signs is believed, nothing is sent there. A new join brings it back. */
    removedAt: at('removed_at'),
  },
  t => [
    uniqueIndex('hosts_public_key').on(t.publicKey),
    // Overbooking is impossible even by a bug: a release below zero or a wrong reserve fails its transaction.
    check(
      'hosts_reserved_not_negative',
      sql`${t.reservedMemoryBytes} >= 0 and ${t.reservedCpuMillis} >= 0 and ${t.reservedSlots} >= 0 and ${t.reservedGpus} >= 0`,
    ),
  ],
)

export const runtimes = pgTable(
  'runtimes',
  {
    id: text().primaryKey(),
    tenant: text()
      .notNull()
      .references(() => tenants.slug),
    mode: text().notNull(),
    owner: text().notNull(),
    ownerHash: text('owner_hash').notNull(),
    spec: text().notNull(),
    state: text().$type<RuntimeState>().notNull().default('pending'),
    /** Rises with every start; 0 before the first. */
    generation: bigint({ mode: 'number' }).notNull().default(0),
    hostId: text('host_id').references(() => hosts.id),
    /** Whether this row's need counts in its host's reserved figures right now. */
    reserved: boolean().notNull().default(false),
    /** Whether it counts as one of its tenant's runtimes right now: while it starts or runs, not while it is paused. */
    counted: boolean().notNull().default(false),
    needMemoryBytes: bytes('need_memory_bytes').notNull(),
    needCpuMillis: integer('need_cpu_millis').notNull(),
    needGpus: integer('need_gpus').notNull().default(0),
    labels: jsonb().$type<Record<string, string>>().notNull().default({}),
    /** What a start needs again after a restart; its environment is sealed. */
    start: jsonb().$type<RequestedStart>().notNull(),
    /** Set with `deleting`: whether the volume goes too. */
    removeVolume: boolean('remove_volume').notNull().default(false),
    error: jsonb().$type<RuntimeError>(),
    createdAt: at('created_at').notNull().defaultNow(),
    readyAt: at('ready_at'),
    lastUsedAt: at('last_used_at').notNull().defaultNow(),
    stateAt: at('state_at').notNull().defaultNow(),
    /** What becomes of it when nobody uses it, and its age at most. */
    idle: jsonb().$type<IdlePolicy>().notNull().default({}),
    /**
     * When to look whether that is due: never later, and often earlier, because use does not move it. Null: nothing is.
     */
    idleAt: at('idle_at'),
    /** The end of which its owner has been warned. */
    warnedFor: at('warned_for'),
    deletedAt: at('deleted_at'),
    /** Who is moving this row on has it until then; afterwards any gateway takes it over. */
    workUntil: at('work_until'),
    workTries: integer('work_tries').notNull().default(0),
    /**
     * Since when it stands in line for room, to the millisecond, so that JavaScript and the database agree on who is first;
     * whoever waits keeps `lineUntil` ahead of now, or others may go by.
     */
    lineSince: timestamp('line_since', { withTimezone: true, mode: 'date', precision: 3 }),
    lineUntil: at('line_until'),
    /** For room in its tenant's quota, or on the hosts: two lines. */
    lineFor: text('line_for').$type<LineFor>(),
    /** How long it is to wait for room at most. */
    waitUntil: at('wait_until'),
  },
  t => [
    // Invariant 1: at most one live runtime per (tenant, mode, owner), whoever asks.
    uniqueIndex('runtimes_live_owner').on(t.tenant, t.mode, t.owner).where(sql`${t.state} <> 'deleted'`),
    // Names of containers come from the hash: a collision is refused here, never shared.
    uniqueIndex('runtimes_live_hash').on(t.ownerHash).where(sql`${t.state} <> 'deleted'`),
    // Lists: of what there is, and by state.
    index('runtimes_tenant_live').on(t.tenant, t.id).where(sql`${t.state} <> 'deleted'`),
    index('runtimes_tenant_state').on(t.tenant, t.state, t.id),
    index('runtimes_hash').on(t.ownerHash, t.id),
    index('runtimes_host').on(t.hostId).where(sql`${t.state} <> 'deleted'`),
    // What is kept warm (warm.ts), by the only tenant that has any.
    index('runtimes_warm').on(t.spec, t.id).where(sql`${t.tenant} = '~warm' and ${t.state} <> 'deleted'`),
    index('runtimes_warm_host').on(t.hostId).where(sql`${t.tenant} = '~warm' and ${t.state} <> 'deleted'`),
    index('runtimes_line').on(t.tenant, t.lineSince).where(sql`${t.lineSince} is not null`),
    index('runtimes_idle').on(t.idleAt).where(sql`${t.idleAt} is not null`),
    index('runtimes_work').on(t.workUntil).where(sql`${t.workUntil} is not null`),
    check('runtimes_counted_on_host', sql`not ${t.counted} or ${t.reserved}`),
    check('runtimes_reserved_on_host', sql`not ${t.reserved} or ${t.hostId} is not null`),
  ],
)

export const profiles = pgTable(
  'profiles',
  {
    id: text().primaryKey(),
    tenant: text()
      .notNull()
      .references(() => tenants.slug),
    mode: text().notNull(),
    owner: text().notNull(),
    ownerHash: text('owner_hash').notNull(),
    /** The host that has the volume: its owner goes back there. */
    hostId: text('host_id')
      .notNull()
      .references(() => hosts.id),
    createdAt: at('created_at').notNull().defaultNow(),
    lastUsedAt: at('last_used_at').notNull().defaultNow(),
    /** The host it is being copied to, by whoever keeps `movingUntil` ahead of now. Nothing starts on it meanwhile. */
    movingTo: text('moving_to').references(() => hosts.id),
    movingUntil: at('moving_until'),
    /** Whose move it is: one that has lapsed must not end, or hold up, the next one's, to the same host or another. */
    moveId: text('move_id'),
  },
  t => [
    uniqueIndex('profiles_owner').on(t.tenant, t.mode, t.owner),
    index('profiles_host').on(t.hostId),
    index('profiles_hash').on(t.ownerHash),
  ],
)

/** Volumes that are no profile any more, on hosts that have yet to remove them. */
export const volumeRemovals = pgTable(
  'volume_removals',
  {
    id: text().primaryKey(),
    hostId: text('host_id')
      .notNull()
      .references(() => hosts.id),
    tenant: text().notNull(),
    ownerHash: text('owner_hash').notNull(),
    createdAt: at('created_at').notNull().defaultNow(),
    /** Who has a host remove it, until then. The row outlives every such command that may still be on its way. */
    claim: text(),
    claimedUntil: at('claimed_until'),
  },
  t => [index('volume_removals_host').on(t.hostId)],
)

export const events = pgTable(
  'events',
  {
    seq: bigserial({ mode: 'number' }).primaryKey(),
    tenant: text().notNull(),
    runtimeId: text('runtime_id').notNull(),
    type: text().notNull(),
    generation: bigint({ mode: 'number' }).notNull(),
    fromState: text('from_state').$type<RuntimeState>(),
    toState: text('to_state').$type<RuntimeState>().notNull(),
    reason: text(),
    data: jsonb().$type<EventData>().notNull().default({}),
    at: at('at').notNull().defaultNow(),
  },
  t => [index('events_runtime').on(t.runtimeId, t.seq), index('events_tenant').on(t.tenant, t.seq)],
)

export const signingKeys = pgTable('signing_keys', {
  kid: text().primaryKey(),
  /** Raw Ed25519 public key, base64url. */
  publicKey: text('public_key').notNull(),
  /** The private key as JWK, sealed with PORTHOLE_SECRET. */
  sealedPrivateKey: text('sealed_private_key').notNull(),
  createdAt: at('created_at').notNull().defaultNow(),
  /** Signs from then on; published before, so that nobody meets a key that is not known yet. */
  activeAt: at('active_at').notNull().defaultNow(),
  /** Tokens signed with it are good until then; afterwards it is not published any more. */
  retiredAt: at('retired_at'),
})

/** Tokens we have minted: for listing and revoking. The token itself is nowhere. */
export const tokens = pgTable(
  'tokens',
  {
    /** The `jti`. */
    id: text().primaryKey(),
    tenant: text()
      .notNull()
      .references(() => tenants.slug),
    subject: text().notNull(),
    scopes: jsonb().$type<string[]>().notNull(),
    /** When set, the token is good for this owner, in this mode, only. */
    owner: text(),
    mode: text(),
    /** The token with which it was minted: revoking that one revokes this one too. */
    parent: text(),
    createdAt: at('created_at').notNull().defaultNow(),
    expiresAt: at('expires_at').notNull(),
    revokedAt: at('revoked_at'),
  },
  t => [
    index('tokens_tenant').on(t.tenant, t.id),
    index('tokens_parent').on(t.parent),
    index('tokens_revoked').on(t.revokedAt).where(sql`${t.revokedAt} is not null`),
  ],
)

/** Issuers that a tenant trusts besides ours. */
export const issuers = pgTable(
  'issuers',
  {
    id: text().primaryKey(),
    tenant: text()
      .notNull()
      .references(() => tenants.slug),
    /** The `iss` claim, exactly. One issuer belongs to one tenant: a token says by itself whose it is. */
    issuer: text().notNull(),
    jwksUrl: text('jwks_url').notNull(),
    audience: text().notNull(),
    algorithms: jsonb().$type<string[]>().notNull(),
    /** Which claims hold what; scopes that its tokens may have at most. */
    claims: jsonb().$type<ClaimMapping>().notNull(),
    createdAt: at('created_at').notNull().defaultNow(),
  },
  t => [uniqueIndex('issuers_issuer').on(t.issuer), index('issuers_tenant').on(t.tenant, t.id)],
)

/** Who did what, from where, to what, with what result. Written once, never changed. */
export const audit = pgTable(
  'audit',
  {
    seq: bigserial({ mode: 'number' }).primaryKey(),
    at: at('at').notNull().defaultNow(),
    tenant: text().notNull(),
    subject: text().notNull(),
    /** The token's id; null for a person's cookie from before, or a host. */
    tokenId: text('token_id'),
    action: text().notNull(),
    target: text().notNull(),
    /** HTTP status of the answer. */
    status: integer().notNull(),
    code: text(),
    address: text().notNull(),
    requestId: text('request_id').notNull(),
  },
  t => [index('audit_tenant').on(t.tenant, t.seq)],
)

/** One-time credentials, by SHA-256 of the token: taking one is `delete … returning`. */
export const tickets = pgTable(
  'tickets',
  {
    digest: text().primaryKey(),
    tenant: text().notNull(),
    runtimeId: text('runtime_id')
      .notNull()
      .references(() => runtimes.id),
    ownerHash: text('owner_hash').notNull(),
    access: text().$type<'control' | 'view'>().notNull(),
    subject: text().notNull(),
    /** The token it was made with; revoking that one closes what the ticket opened. */
    tokenId: text('token_id'),
    /** The tenant's own issuer who signed that token, by id: trusted no more, it closes what the ticket opened. */
    issuerId: text('issuer_id'),
    /** When that token expires: what the ticket opened ends then at the latest. */
    goodUntil: at('good_until').notNull(),
    expiresAt: at('expires_at').notNull(),
  },
  t => [index('tickets_expiry').on(t.expiresAt)],
)

export const joinTokens = pgTable('join_tokens', {
  digest: text().primaryKey(),
  createdBy: text('created_by').notNull(),
  expiresAt: at('expires_at').notNull(),
})

export const idempotencyKeys = pgTable(
  'idempotency_keys',
  {
    /** SHA-256 of tenant and key. */
    digest: text().primaryKey(),
    requestDigest: text('request_digest').notNull(),
    /** Whose attempt it is: one that came back after its claim was given up must not touch the next one's. */
    claim: text().notNull().default(''),
    /** Null while the first request is still at work. */
    status: integer(),
    /** json, not jsonb: a replay is the same to the letter. */
    body: json().$type<Record<string, unknown>>(),
    createdAt: at('created_at').notNull().defaultNow(),
  },
  t => [index('idempotency_keys_age').on(t.createdAt)],
)

export type HostRow = typeof hosts.$inferSelect
export type RuntimeRow = typeof runtimes.$inferSelect
export type ProfileRow = typeof profiles.$inferSelect
export type EventRow = typeof events.$inferSelect
export type TenantRow = typeof tenants.$inferSelect
