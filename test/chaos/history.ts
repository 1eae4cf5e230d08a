import type { Touched } from './fault.ts'
import type { Operation } from './plan.ts'
import type { Violation } from './violation.ts'

/** What a client knows of one call. */
export type Entry = {
  owner: string
  operation: Operation
  /** Milliseconds after the beginning. */
  at: number
  ms: number
  /** `ok`: it was said to be done. `refused`: it was said that it is not. `unknown`: nobody knows. */
  outcome: 'ok' | 'refused' | 'unknown'
  status: number
  code?: string | undefined
  /** How many of its tries had no answer within what a client waits. */
  unanswered?: number | undefined
  runtime?: { id: string; generation: number; state: string; host: string | null } | undefined
  /** The runtime that a delete, a stop or the like was asked for. */
  asked?: string | undefined
  /** The mark in its profile that a drive has found, and the one that it has left there. */
  mark?: { found: string | undefined; left: string } | undefined
  /** Of a client that saw what nobody may see. */
  wrong?: string | undefined
}

export type Struck = {
  fault: string
  what: string
  /** Unknown while it is being struck: it may be anything then. */
  touched?: Touched
  /** Milliseconds after the beginning. */
  at: number
  /** When its mending began; Infinity where it never did. */
  mendedAt: number
  /** Milliseconds until everything answered again. */
  recoveryMs: number
  /** What must not have happened meanwhile. */
  wrong: string[]
  /** How much was compared for that. */
  compared?: { containers: number; views: number }
  /** Why it could not be struck, or not be mended, or what was not whole again in time. */
  failed?: string | undefined
}

/** A gateway or an agent that ended by itself. */
export type Death = {
  /** As its log is called. */
  what: string
  /** Milliseconds after the beginning. */
  at: number
  exit: string
}

export type Sampled = {
  times: number
  /** How often somebody was waiting for room. */
  waiting: number
  wrong: Violation[]
}

export type History = {
  /** Milliseconds since the epoch. */
  startedAt: number
  entries: Entry[]
  strikes: Struck[]
  /** What was seen of the rows and containers while all this happened. */
  sampled?: Sampled
  deaths: Death[]
}

const shortOf = ({ owner, operation, at, ms, outcome, status, code, runtime }: Entry): string =>
  [
    `${(at / 1000).toFixed(1)} s +${Math.round(ms)} ms`,
    owner,
    operation,
    outcome,
    status || 'no answer',
    code ?? '',
    runtime ? `${runtime.id} g${runtime.generation} ${runtime.state}` : '',
  ].join(' ')

/** The history in the order of what happened, a line each; the last `most` lines of it. */
export const tellHistory = ({ entries, strikes, deaths }: History, most: number): string =>
  [
    ...entries.map(entry => ({ at: entry.at, line: shortOf(entry) })),
    ...strikes.map(({ at, fault, what, mendedAt }) => ({
      at,
      line: `${(at / 1000).toFixed(1)} s -- ${fault}: ${what}, until ${(mendedAt / 1000).toFixed(1)} s`,
    })),
    ...deaths.map(({ what, at, exit }) => ({ at, line: `${(at / 1000).toFixed(1)} s -- ${what} ended: ${exit}` })),
  ]
    .toSorted((a, b) => a.at - b.at)
    .slice(-most)
    .map(({ line }) => line)
    .join('\n')
