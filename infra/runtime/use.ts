/** When somebody last used this runtime: a person at its screen, a DevTools client, or a caller of its RPC. */
export type Use = {
  /** It is used just now. */
  note(): void
  /** It is used from now on. @returns to be called when that is over */
  begin(): () => void
  /** Milliseconds since it was last used; since the start where it never was. A length of time, because clocks differ. */
  unusedMs(): number
}

/** @param now milliseconds of any clock that only moves forward */
export const createUse = (now: () => number = () => performance.now()): Use => {
  let usedAt = now()
  let underWay = 0
  const note = () => {
    usedAt = now()
  }
  return {
    note,
    begin: () => {
      let isOver = false
      underWay += 1
      return () => {
        if (isOver) return
        isOver = true
        underWay -= 1
        note()
      }
    },
    unusedMs: () => (underWay > 0 ? 0 : Math.floor(now() - usedAt)),
  }
}
