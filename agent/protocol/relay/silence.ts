import { Roster, type RosterPlace } from '../roster.ts'

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

type Seen = { watched: Watched; passed: number; since: number; place?: RosterPlace<Seen> }

/**
 * Ends what is silent, by one look at all of it every `everyMs`: a timer for each socket would be set anew with every
 * chunk. Silence is noticed up to one look late. Without anything to watch there is no timer.
 *
 * @param now milliseconds of any clock that only moves forward
 */
export function createSilence(everyMs = 1_000, now: () => number = () => performance.now()): Silence {
  const all = new Roster<Seen>()
  let timer: NodeJS.Timeout | undefined

  const forget = (place: RosterPlace<Seen>): void => {
    all.leave(place)
    if (all.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  const look = (): void => {
    const at = now()
    for (const seen of all.all()) {
      const { watched } = seen
      const passed = watched.passed()
      if (passed !== seen.passed) {
        seen.passed = passed
        seen.since = at
      } else if (watched.patienceMs > 0 && at - seen.since >= watched.patienceMs) {
        if (seen.place) forget(seen.place)
        watched.over()
      }
    }
  }

  return {
    watch(watched) {
      const seen: Seen = { watched, passed: watched.passed(), since: now() }
      const place = all.enter(seen)
      seen.place = place
      timer ??= setInterval(look, everyMs)
      return () => forget(place)
    },
  }
}
