/** One promise that was not kept. */
export type Violation = {
  /** Which. */
  invariant: string
  /** What was seen. */
  what: string
  /** It has happened, and no time mends it; otherwise something may still be under way. */
  past?: true
}
