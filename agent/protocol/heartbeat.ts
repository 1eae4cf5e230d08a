import { z } from 'zod'
import { generation, runtimeFacts, runtimeId } from './commands.ts'

/** `POST /v1/hosts/:id/heartbeat`, agent → gateway, `Authorization: Bearer <JWT signed with the host's key>`. */
export const capacity = z.strictObject({
  memoryBytes: z.number().int().min(0),
  cpuMillis: z.number().int().min(0),
  slots: z.number().int().min(0),
  gpus: z.number().int().min(0),
})
export type Capacity = z.infer<typeof capacity>

export const heartbeat = z.strictObject({
  capacity,
  /** 1-minute load average. */
  load: z.number().min(0),
  engineVersion: z.string().max(128),
  images: z.array(z.string().max(512)).max(1000),
  labels: z.record(z.string().max(64), z.string().max(256)),
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
