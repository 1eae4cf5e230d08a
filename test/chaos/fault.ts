import type { Lab } from '../lab/kit.ts'

/** Damage done to a lab. */
export type Struck = {
  /** Which thing, for the log: 'gateway 2'. */
  what: string
  /** Puts it right and resolves when it answers again. Safe to call twice. Has a deadline. */
  mend(): Promise<void>
}

export type Fault = {
  name: string
  /** @param random in [0, 1): chooses the target, so that a seed chooses the same one again */
  strike(lab: Lab, random: () => number): Promise<Struck>
}
