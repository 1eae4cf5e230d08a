import { z } from 'zod'
import { runtimeFacts } from './commands.ts'

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
  /** Every runtime on the host, or null when Docker could not be read: a fault is not an empty host. */
  runtimes: z.array(runtimeFacts).max(10_000).nullable(),
})
export type Heartbeat = z.infer<typeof heartbeat>

export const heartbeatAnswer = z.object({
  /** Milliseconds until the next one is expected. */
  nextMs: z.number().int().positive(),
})
export type HeartbeatAnswer = z.infer<typeof heartbeatAnswer>

export const heartbeatPath = (hostId: string): string => `/v1/hosts/${hostId}/heartbeat`
