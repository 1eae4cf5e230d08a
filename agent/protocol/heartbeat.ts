import { z } from 'zod'
import { generation, runtimeFacts, runtimeId } from './commands.ts'

/** What Postgres keeps: its text holds no NUL, its UTF-8 no lone surrogate, and its `integer` has 32 bits. */
const text = (most: number) =>
  z
    .string()
    .max(most)
    .refine(value => value.isWellFormed() && !value.includes('\0'), 'holds a NUL or a lone surrogate')
const count = z.number().int().min(0).max(2_147_483_647)
const maxLabels = 256

/** `POST /v1/hosts/:id/heartbeat`, agent → gateway, `Authorization: Bearer <JWT signed with the host's key>`. */
export const capacity = z.strictObject({
  memoryBytes: z.number().int().min(0),
  cpuMillis: count,
  slots: count,
  gpus: count,
})
export type Capacity = z.infer<typeof capacity>

export const heartbeat = z.strictObject({
  capacity,
  /** 1-minute load average. One so small that a 32-bit float has no place for it is nobody's. */
  load: z
    .number()
    .min(0)
    .max(1e6)
    .refine(load => load === 0 || load >= 1e-30, 'is too small'),
  engineVersion: text(128),
  images: z.array(text(512)).max(1000),
  labels: z
    .record(text(64), text(256))
    .refine(labels => Object.keys(labels).length <= maxLabels, `has more than ${maxLabels} labels`),
  /** Bytes free where Docker keeps its data; absent when that can't be told. */
  diskFreeBytes: z.number().int().min(0).optional(),
  /**
   * Every runtime on the host; null when Docker could not be read: a fault is not an empty host. Absent when nothing has
   * changed since the last full answer, which `revision` then names.
   */
  runtimes: z.array(runtimeFacts).max(10_000).nullable().optional(),
  /** Stands for `runtimes` as they were last told in full and accepted. */
  revision: z.string().max(64).optional(),
})
export type Heartbeat = z.infer<typeof heartbeat>

const containerNames = z.array(z.object({ id: runtimeId, generation })).max(10_000)

export const heartbeatAnswer = z.object({
  /** Milliseconds until the next one is expected. */
  nextMs: z.number().int().positive(),
  /** Containers of generations that are over: to be removed at once, the volume kept. Only after a full one. */
  remove: containerNames.optional(),
  /** Containers of runtimes that the gateway does not know: to be removed when they have been named so for a minute. */
  unknown: containerNames.optional(),
})
export type HeartbeatAnswer = z.infer<typeof heartbeatAnswer>

export const heartbeatPath = (hostId: string): string => `/v1/hosts/${hostId}/heartbeat`
