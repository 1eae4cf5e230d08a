/** Looks, one at a time. */
export type Looks = {
  /** Has a look begin after this call. All who ask while one is under way share the next. */
  ask(): void
  /** No look begins any more; resolves when the one under way has ended. */
  close(): Promise<void>
}

/** @param look never rejects */
export const oneAndNext = (look: () => Promise<void>): Looks => {
  let underWay: Promise<void> | undefined
  let isAskedAgain = false
  let isClosed = false

  const ask = (): void => {
    if (isClosed) return
    if (underWay) {
      isAskedAgain = true
      return
    }
    isAskedAgain = false
    underWay = look().finally(() => {
      underWay = undefined
      if (isAskedAgain) ask()
    })
  }

  return {
    ask,
    close: async () => {
      isClosed = true
      await underWay
    },
  }
}
