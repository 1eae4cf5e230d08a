/** One promise that was not kept: which, and what was seen. */
export type Violation = { invariant: string; what: string }
