import { z } from 'zod'

/**
 * Commands the gateway gives an agent, `Authorization: Bearer <JWT>` with the host's id as audience:
 *
 * | route | body | answer |
 * |---|---|---|
 * | `PUT /v1/runtimes/:id` | `startCommand` | 200 `runtimeFacts` once ready |
 * | `GET /v1/runtimes/:id?probe=1` | | 200 `runtimeFacts`, with `healthy` when probed |
 * | `GET /v1/runtimes` | | 200 `runtimeFacts[]` |
 * | `POST /v1/runtimes/:id/stop` | `generationCommand` | 200 `runtimeFacts`: container removed, volume kept |
 * | `POST /v1/runtimes/:id/pause` | `generationCommand` | 200 `runtimeFacts`: frozen, memory kept |
 * | `POST /v1/runtimes/:id/resume` | `generationCommand` | 200 `runtimeFacts`: goes on where it was |
 * | `DELETE /v1/runtimes/:id` | `deleteCommand` | 204 when neither container (nor volume) is left |
 *
 * A stop of a runtime that this host has never seen is `not-found`; the caller may take it as stopped.
 * All are idempotent by (id, generation). An older generation than the highest seen is `stale-generation`.
 */
export const generation = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER)
export const runtimeId = z.string().regex(/^rt_[0-9A-HJKMNP-TV-Z]{26}$/)
export const ownerHash = z.string().regex(/^[0-9a-f]{16}$/)
export const portName = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/)
export const envName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/)
/** Docker takes anything but NUL. */
export const envValue = z.string().refine(value => !value.includes('\0'), 'holds a NUL')
export const portNumber = z.number().int().min(1).max(65535)

/** The recipe of a runtime as an agent needs it: everything but who it is for. */
export const recipe = z.strictObject({
  name: z.string().max(64),
  /** Absent: the host's own default image. */
  image: z.string().max(512).optional(),
  entrypoint: z.array(z.string()).optional(),
  command: z.array(z.string()).optional(),
  workingDir: z.string().optional(),
  env: z.record(envName, envValue),
  /** Port name → container port. Ours: `view` 6080, `cdp` 9222, `rpc` 8787. */
  ports: z.record(portName, portNumber),
  /** 2xx on `GET` = ready. Null: ready as soon as it runs. */
  health: z.strictObject({ port: portName, path: z.string().startsWith('/') }).nullable(),
  /** Where the profile volume is mounted. Null: no volume. */
  volumePath: z.string().startsWith('/').nullable(),
  /** Whether the container checks `x-porthole-key`; then the agent makes a key and sends it on every request. */
  keyed: z.boolean(),
  readOnlyRoot: z.boolean(),
  /** Path → size in bytes. */
  tmpfs: z.record(z.string().startsWith('/'), z.number().int().positive()),
  shmBytes: z.number().int().positive(),
  memoryBytes: z.number().int().positive(),
  cpus: z.number().positive(),
  /** GPUs of the host that are its own. */
  gpus: z.number().int().min(0).max(64).optional(),
  pids: z.number().int().positive(),
  /** `browser`: Docker's default plus user namespaces, for Chromium's own sandbox. */
  seccomp: z.enum(['default', 'browser']),
  /**
   * What it may reach: `internet` is that and no private network, cloud metadata, host or other container; `none` is
   * nothing, not even names; `open` is whatever its host reaches. Whoever leaves it out gets `internet`.
   */
  egress: z.enum(['internet', 'none', 'open']).default('internet'),
  /** Seconds between TERM and KILL. */
  stopSeconds: z.number().int().min(0).max(120),
  /**
   * Where a container that was started before it had an owner takes that owner's settings: a `POST` of `personalSettings` with
   * its key. Absent: it takes none, and an owner who has some gets a container of their own.
   */
  personal: z.strictObject({ port: portName, path: z.string().startsWith('/') }).optional(),
})
export type Recipe = z.infer<typeof recipe>

/** What a container that was started beforehand learns of its owner. */
export const personalSettings = z.strictObject({ env: z.record(envName, envValue), viewUrl: z.string().optional() })
export type PersonalSettings = z.infer<typeof personalSettings>

export const startCommand = z.strictObject({
  generation,
  /**
   * Nobody owns it yet: made beforehand, for whoever comes. An owner who is given it is the one whom the start of its next
   * generation names, without this: the container stays, and is of that generation from then on.
   */
  warm: z.boolean().optional(),
  tenant: z.string().max(64),
  ownerHash,
  recipe,
  /** The request's environment. Reserved names (see the agent) win over it. */
  env: z.record(envName, envValue),
  /** The public view URL, as BROWSER_VIEW_URL. */
  viewUrl: z.string().optional(),
  /** Milliseconds the agent may take until the runtime is ready. */
  deadlineMs: z.number().int().min(1).max(600_000),
})
export type StartCommand = z.infer<typeof startCommand>

export const generationCommand = z.strictObject({ generation })
export type GenerationCommand = z.infer<typeof generationCommand>

export const deleteCommand = z.strictObject({ generation, ownerHash, removeVolume: z.boolean() })
export type DeleteCommand = z.infer<typeof deleteCommand>

/**
 * Milliseconds that each step of a start took, one after the other: `turn` (others start on this host), `prepare` (image and
 * network), `volume`, `create`, `start` (the engine), then what the container tells of itself (`boot`, `display`,
 * `browser`), and `answer`, the rest until its health path answered. Who cannot tell a step leaves it out. Of one that was
 * started before it had an owner there is only `claim`: all of it.
 */
export const startSteps = z
  .record(z.string().regex(/^[a-z]{1,20}$/), z.number().min(0).max(86_400_000))
  .refine(steps => Object.keys(steps).length <= 32, 'has more than 32 steps')
export type StartSteps = z.infer<typeof startSteps>

/** What a host knows of a container: read from Docker, never remembered. */
export const containerState = z.enum(['starting', 'running', 'paused', 'exited'])
export type ContainerState = z.infer<typeof containerState>

export const runtimeFacts = z.object({
  id: runtimeId,
  generation,
  ownerHash,
  state: containerState,
  exitCode: z.number().int().optional(),
  /** Only when asked to probe: whether the health path answered 2xx within 2 s. */
  healthy: z.boolean().optional(),
  /**
   * Only when asked to probe one that runs: milliseconds since a person or a program last used it, as far as its host sees.
   * A length of time, because clocks differ.
   */
  unusedMs: z.number().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  /** Only in the answer to a start that made the container. */
  steps: startSteps.optional(),
})
export type RuntimeFacts = z.infer<typeof runtimeFacts>
export const runtimeFactsList = z.array(runtimeFacts)
