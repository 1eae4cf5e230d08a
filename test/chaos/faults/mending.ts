import type { Struck, Touched } from '../fault.ts'

/** Damage whose mending is done once, however often it is asked for; one that failed is tried again when asked again. */
export function struck(what: string, touched: Touched, mend: () => Promise<unknown>): Struck {
  let mending: Promise<void> | undefined
  return {
    what,
    touched,
    mend() {
      mending ??= mend().then(
        () => {},
        error => {
          mending = undefined
          throw new Error(`${what} could not be mended: ${error instanceof Error ? error.message : error}`, {
            cause: error,
          })
        },
      )
      return mending
    },
  }
}
