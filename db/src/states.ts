/** The states of a runtime and the moves between them, as data (DESIGN section 4). */
export const runtimeStates = [
  'pending',
  'starting',
  'running',
  'paused',
  'stopping',
  'stopped',
  'failed',
  'lost',
  'deleting',
  'deleted',
] as const
export type RuntimeState = (typeof runtimeStates)[number]

/**
 * From each state, where a runtime may go. A start on another host goes from `starting` to `starting`; a start that
 * somebody wants stopped goes to `stopping` without having been `running`; one that is to start again and has to wait for
 * room, or whose host has refused it, is `pending` meanwhile, as a new one is.
 */
export const moves = {
  pending: ['starting', 'stopping', 'failed', 'deleting'],
  starting: ['pending', 'starting', 'running', 'stopping', 'failed', 'lost', 'deleting'],
  running: ['paused', 'stopping', 'failed', 'lost', 'deleting'],
  paused: ['running', 'stopping', 'failed', 'lost', 'deleting'],
  stopping: ['stopped', 'failed', 'lost', 'deleting'],
  stopped: ['pending', 'starting', 'lost', 'deleting'],
  failed: ['pending', 'starting', 'lost', 'deleting'],
  lost: ['pending', 'starting', 'running', 'deleting'],
  deleting: ['deleted'],
  deleted: [],
} as const satisfies Record<RuntimeState, readonly RuntimeState[]>

/** The states from which `to` may be reached. */
export const sourcesOf = (to: RuntimeState): RuntimeState[] =>
  runtimeStates.filter(from => (moves[from] as readonly RuntimeState[]).includes(to))

/** States in which somebody must do something for the runtime to get on. */
export const passingStates = ['pending', 'starting', 'stopping', 'deleting'] as const satisfies RuntimeState[]

/** Why a runtime failed, for its owner: a stable code, a sentence, and what its container said last. */
export type RuntimeError = { code: string; detail: string; exitCode?: number; logTail?: string }

/** What the request asked for, kept for later starts of the same runtime. */
export type RequestedStart = {
  /** The request's environment, sealed with PORTHOLE_SECRET; absent when empty. */
  sealedEnv?: string
  memoryBytes: number
  cpus: number
  /** GPUs; absent: none. */
  gpus?: number
  /** Labels that its host must have. */
  require?: Record<string, string>
  /** How to choose among the hosts that have room; absent: as the gateway does by default. */
  policy?: PlacementPolicy
}

/** Whether runtimes are spread over hosts, or packed so that hosts stay empty. */
export const placementPolicies = ['spread', 'pack'] as const
export type PlacementPolicy = (typeof placementPolicies)[number]

/** Seconds after which something is done to a runtime by itself; absent: never. */
export type IdlePolicy = {
  /** Unused for so long, it is frozen, stopped, deleted. */
  pauseAfter?: number
  stopAfter?: number
  deleteAfter?: number
  /** So long after it was created it is deleted, however much it is used. */
  maxAge?: number
}

type Fact = string | number | boolean | null
/** What an event tells besides: facts by name, and facts that belong together under one name. */
export type EventData = Record<string, Fact | Readonly<Record<string, Fact>>>

/** What a runtime in line waits for. */
export type LineFor = 'quota' | 'hosts'

/** What happens to a start when its tenant is at its cap. */
export const atCapPolicies = ['reject', 'queue', 'pause-oldest'] as const
export type AtCap = (typeof atCapPolicies)[number]

/** How to read a foreign issuer's tokens. */
export type ClaimMapping = {
  /** Claim with the subject; default `sub`. */
  subject?: string
  /** Claim with the owner the token is good for; absent: good for all of the tenant's. */
  owner?: string
  /** The isolation mode of that owner; default `docker-per-principal`. */
  mode?: 'shared' | 'docker-per-principal' | 'docker-per-task'
  /** Claim with the scopes (a list, or words in one string); absent: every token has `scopes`. */
  scope?: string
  /** What its tokens may do at most. */
  scopes: string[]
}

/**
 * Whose the runtimes are that nobody owns yet: started, well, and given to new owners as they come (functions/adopt.sql). No token
 * can be for a tenant of this name.
 */
export const warmTenant = '~warm'
