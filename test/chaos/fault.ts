import type { Lab } from '../lab/kit.ts'

/** What of a lab a fault has touched; only that may show its effects. Nothing: what it struck is used by all, or was not there. */
export type Touched = {
  /** A host's id. */
  host?: string
  /** A gateway's URL. */
  gateway?: string
  /** A container's name. */
  container?: string
}

/** Damage done to a lab. */
export type Struck = {
  /** Which thing, for the log: 'gateway 2'. */
  what: string
  touched: Touched
  /** Puts it right and resolves when it answers again. Safe to call twice. Has a deadline. */
  mend(): Promise<void>
}

export type Fault = {
  name: string
  /** @param random in [0, 1): chooses the target, so that a seed chooses the same one again */
  strike(lab: Lab, random: () => number): Promise<Struck>
}
