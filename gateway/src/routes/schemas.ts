import { z } from '@hono/zod-openapi'
import { placementPolicies, runtimeStates } from '@porthole/db'
import { envName, pythonStrip } from '@porthole/protocol'
import { modes } from '../identity/owner.ts'
import { idleFields } from '../runtimes/idle-policy.ts'
import { defaultSpec } from '../runtimes/specs.ts'

/** Text that a database can hold: no NUL, no lone surrogate. */
export const plainText = (max: number) =>
  z
    .string()
    .max(max)
    .refine(value => value.isWellFormed() && !value.includes('\0'), 'holds a NUL or a lone surrogate')

/** As the original read it: stripped and lower-cased (PARITY B1). Anything else is a 400. */
export const modeField = z
  .string()
  .max(64)
  .transform(value => pythonStrip(value).toLowerCase())
  .pipe(z.enum(modes))
  .openapi({ type: 'string', enum: [...modes], description: "Isolation mode; default: the tenant's." })

const id = (what: string) => z.string().max(4096).nullish().openapi({ description: what, example: 'alice' })

const labels = z
  .record(plainText(63).min(1), plainText(256))
  .refine(value => Object.keys(value).length <= 64, 'has more than 64 labels')

/** Where a runtime may go, and where it better goes. */
export const placement = z
  .strictObject({
    labels: labels.optional().openapi({ description: 'Labels its host must have.', example: { zone: 'a' } }),
    policy: z.enum(placementPolicies).optional().openapi({
      description: 'spread over the hosts, or pack them full; default: as the gateway is set.',
    }),
  })
  .default({})

export const ensureBody = z
  .strictObject({
    mode: modeField.optional(),
    taskId: id('The task, for docker-per-task.'),
    userId: id('The user: first choice as owner in docker-per-principal.'),
    sessionId: id('The session: owner where there is no user.'),
    threadId: id('The thread: owner where there is neither user nor session.'),
    spec: plainText(64).default(defaultSpec),
    env: z.record(envName, plainText(65_536)).default({}),
    labels: labels.default({}),
    resources: z
      .strictObject({
        memoryMb: z.int().min(256).max(1_048_576).optional().openapi({ description: 'Memory limit, MiB.' }),
        cpus: z.number().min(0.1).max(1024).optional().openapi({ description: 'CPU limit.' }),
        gpus: z.int().min(0).max(64).default(0).openapi({ description: 'GPUs of its host that are its own.' }),
      })
      .default({ gpus: 0 }),
    placement,
    ...idleFields,
    profile: z.enum(['keep', 'fresh']).default('keep').openapi({
      description:
        'When the host that has the profile is away: keep waits for it (503 profile-unavailable), fresh starts elsewhere with an empty one, for good: the old one is removed when that host is back.',
    }),
    wait: z
      .number()
      .min(0)
      .max(300)
      .default(45)
      .openapi({ description: 'Seconds to wait until it is ready; 0: do not wait.' }),
  })
  .openapi('EnsureRuntime', { example: { mode: 'docker-per-principal', userId: 'alice' } })

export const runtimeSchema = z
  .object({
    id: z.string().openapi({ example: 'rt_01KAJ8Z5G2M4Q6S8V0X2Z4B6D8' }),
    tenant: z.string(),
    mode: z.enum(modes),
    owner: z.string(),
    ownerHash: z.string().openapi({ example: '2bd806c97f0e00af' }),
    spec: z.string(),
    state: z.enum(runtimeStates),
    generation: z.int(),
    host: z.string().nullable(),
    labels: z.record(z.string(), z.string()),
    createdAt: z.iso.datetime(),
    readyAt: z.iso.datetime().nullable(),
    lastUsedAt: z.iso.datetime(),
    expiresAt: z.iso.datetime().nullable().openapi({
      description:
        'When it is paused, stopped or deleted next by itself, unless it is used before then (its maxAge counts whether it is used or not); null: it is not. What its host has seen of use since lastUsedAt puts it off.',
    }),
    urls: z.object({
      view: z.string(),
      cdp: z.string(),
      rpc: z.string(),
      ports: z.record(z.string(), z.string()),
    }),
    error: z
      .object({
        code: z.string(),
        detail: z.string(),
        exitCode: z.int().optional(),
        logTail: z.string().optional(),
      })
      .optional(),
  })
  .openapi('Runtime')

export const problemSchema = z
  .object({
    type: z.string().openapi({ example: 'urn:porthole:problem:not-found' }),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string().optional(),
    errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
    requestId: z.string(),
  })
  .openapi('Problem')

export const hostSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    url: z.string(),
    state: z.enum(['new', 'live', 'unreachable', 'lost']),
    schedulable: z.boolean(),
    capacity: z.object({ memoryBytes: z.int(), cpuMillis: z.int(), slots: z.int(), gpus: z.int() }),
    reserved: z.object({ memoryBytes: z.int(), cpuMillis: z.int(), slots: z.int(), gpus: z.int() }),
    load: z.number(),
    diskFreeBytes: z.int().nullable(),
    engineVersion: z.string(),
    labels: z.record(z.string(), z.string()),
    drainUntil: z.iso.datetime().nullable(),
    lastSeenAt: z.iso.datetime().nullable(),
  })
  .openapi('Host')

/** A page of a list. `nextCursor` is null on the last one. */
export const pageOf = <T extends z.ZodType>(item: T, name: string) =>
  z.object({ items: z.array(item), nextCursor: z.string().nullable() }).openapi(name)

export const limit = z.coerce
  .number()
  .int()
  .min(1)
  .max(200)
  .default(50)
  .openapi({ description: 'Most items in the answer.' })

export const runtimeIdParam = z.object({
  id: z
    .string()
    .max(64)
    .openapi({ param: { name: 'id', in: 'path' }, description: 'rt_…' }),
})
