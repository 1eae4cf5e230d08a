export type RuntimeState =
  | 'pending'
  | 'starting'
  | 'running'
  | 'paused'
  | 'stopping'
  | 'stopped'
  | 'failed'
  | 'lost'
  | 'deleting'
  | 'deleted'
export type RuntimeError = { code?: string; detail?: string; exitCode?: number; logTail?: string }
export type Runtime = {
  id: string
  tenant: string
  mode: string
  owner: string
  ownerHash: string
  spec: string
  state: RuntimeState
  generation: number
  host: string | null
  labels: Record<string, string>
  createdAt: string
  readyAt: string | null
  lastUsedAt: string | null
  expiresAt: string | null
  urls: { view: string; cdp: string; rpc: string; ports: Record<string, string> }
  error?: RuntimeError
}
export type Amounts = { memoryBytes: number; cpuMillis: number; slots: number; gpus: number }
export type Host = {
  id: string
  name: string
  url: string
  state: string
  schedulable: boolean
  capacity: Amounts
  reserved: Amounts
  load: number
  engineVersion: string
  lastSeenAt: string | null
}
/** A page of a list. `nextCursor` is null on the last one. */
export type Page<T> = { items: T[]; nextCursor: string | null }

type ProblemBody = {
  status: number
  title: string
  detail?: string | undefined
  code?: string | undefined
  requestId?: string | undefined
  errors?: { pointer: string; detail: string }[]
}
export class Problem extends Error {
  constructor(body: ProblemBody)
  status: number
  title: string
  detail: string | undefined
  code: string | undefined
  requestId: string | undefined
  errors: { pointer: string; detail: string }[]
}
export function problemFrom(status: number, body: unknown): Problem
export function createApi(needs: { token: () => string | undefined; base: string; fetch?: typeof globalThis.fetch }): {
  runtimes: (limit: number, cursor?: string) => Promise<Page<Runtime>>
  hosts: (cursor?: string) => Promise<Page<Host>>
  create: (wanted: Record<string, string>) => Promise<Runtime>
  ticket: (id: string, access: 'control' | 'view') => Promise<{ url: string }>
  tell: (id: string, verb: 'start' | 'stop' | 'pause' | 'resume') => Promise<unknown>
  remove: (id: string, withProfile: boolean) => Promise<unknown>
}
