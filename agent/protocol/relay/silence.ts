/** What is looked at, and ended when nothing has passed for too long. */
export interface Watched {
  /** Milliseconds of silence that end it, as of now; 0: none. */
  patienceMs: number
  /** Bytes that have passed so far. */
  passed(): number
  /** Called once; it is no longer watched then. */
  over(): void
}

export interface Silence {
  /** @returns what to call when it has ended by itself */
  watch(watched: Watched): () => void
}

/**
 * Ends what is silent, by one look at all of it every `everyMs`: a timer for each socket would be set anew with every
 * chunk. Silence is noticed up to one look late. Without anything to watch there is no timer.
 *
 * @param now milliseconds of any clock that only moves forward
 */
export function createSilence(everyMs = 1_000, now: () => number = () => performance.now()): Silence {
  const all = new Map<Watched, { passed: number; since: number }>()
  let timer: NodeJS.Timeout | undefined

  const forget = (watched: Watched): void => {
    all.delete(watched)
    if (all.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  const look = (): void => {
    const at = now()
    for (const [watched, seen] of all) {
      const passed = watched.passed()
      if (passed !== seen.passed) {
        seen.passed = passed
        seen.since = at
      } else if (watched.patienceMs > 0 && at - seen.since >= watched.patienceMs) {
        forget(watched)
        watched.over()
      }
    }
  }

  return {
    watch(watched) {
      all.set(watched, { passed: watched.passed(), since: now() })
      timer ??= setInterval(look, everyMs)
      return () => forget(watched)
    },
  }
}
