import type { Phase } from './state.js'

export type Answer = { status: number; state?: string | null | undefined; why?: string | null | undefined }
export type Session = { close: () => void; nudge: () => void; heardAt: () => number }
export type Told = { connected: () => void; closed: () => void }
export type Clock = {
  now: () => number
  set: (then: () => void, ms: number) => unknown
  clear: (timer: unknown) => void
}
export type Needs = {
  open: (told: Told) => Session
  probe: () => Promise<Answer>
  restart: () => Promise<Answer>
  visible: () => boolean
  show: (phase: Phase, why?: string | null) => void
  clock?: Clock
}
export function createConnection(needs: Needs): {
  start: () => void
  resume: () => void
  wake: (why?: { networkChanged?: boolean }) => void
  readonly phase: Phase
}
