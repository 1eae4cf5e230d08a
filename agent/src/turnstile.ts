import { AgentError } from './problems.ts'

/** Lets a limited number through at a time, first come first served. */
export type Turnstile = {
  /**
   * Waits for a place.
   * @returns what gives the place back; to be called once
   * @throws the signal's reason, or `busy` when too many wait
   */
  enter(signal: AbortSignal): Promise<() => void>
}

export const createTurnstile = (places: number, maxWaiting: number): Turnstile => {
  let free = places
  const waiting = new Set<() => void>()

  const leave = () => {
    const next = waiting.values().next().value
    if (next === undefined) free++
    else {
      waiting.delete(next)
      next()
    }
  }

  return {
    enter: async signal => {
      signal.throwIfAborted()
      if (free > 0) {
        free--
        return leave
      }
      if (waiting.size >= maxWaiting) throw new AgentError('busy', { detail: 'too many starts wait on this host' })
      const turn = Promise.withResolvers<void>()
      const giveUp = () => {
        if (waiting.delete(turn.resolve)) turn.reject(signal.reason)
      }
      waiting.add(turn.resolve)
      signal.addEventListener('abort', giveUp, { once: true })
      try {
        await turn.promise
        return leave
      } finally {
        signal.removeEventListener('abort', giveUp)
      }
    },
  }
}
