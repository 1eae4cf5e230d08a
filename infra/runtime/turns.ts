/** Lets one caller at a time through, in order. */
export type Turns = {
  /**
   * Waits for its turn; call the result to let the next one in.
   * Undefined when too many are waiting already.
   * @throws the signal's reason when it is aborted while waiting.
   */
  take: (signal: AbortSignal) => Promise<(() => void) | undefined>
}

/** Two runs on one page would click into each other's way: they take turns, and at most `limit` wait. */
export const createTurns = (limit: number): Turns => {
  const queue: (() => void)[] = []
  let busy = false
  const leave = () => {
    const next = queue.shift()
    if (next === undefined) busy = false
    else next()
  }
  const once = (): (() => void) => {
    let left = false
    return () => {
      if (left) return
      left = true
      leave()
    }
  }
  return {
    take: async signal => {
      if (!busy) {
        busy = true
        return once()
      }
      if (queue.length >= limit) return undefined
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      queue.push(resolve)
      const abort = () => {
        const index = queue.indexOf(resolve)
        if (index === -1) return
        queue.splice(index, 1)
        reject(signal.reason)
      }
      signal.addEventListener('abort', abort, { once: true })
      await promise
      signal.removeEventListener('abort', abort)
      return once()
    },
  }
}
