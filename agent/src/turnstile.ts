import { AgentError } from './problems.ts'

/** Lets a limited number through at a time, first come first served; those who would rather be last come after all others. */
export type Turnstile = {
  /**
   * Waits for a place.
   * @param options.last lets everybody else by, those who come later too
   * @returns what gives the place back; to be called once
   * @throws the signal's reason, or `busy` when too many wait
   */
  enter(signal: AbortSignal, options?: { last?: boolean }): Promise<() => void>
}

export const createTurnstile = (places: number, maxWaiting: number): Turnstile => {
  let free = places
  const first = new Set<() => void>()
  const last = new Set<() => void>()

  const leave = () => {
    const next = first.values().next().value ?? last.values().next().value
    if (next === undefined) {
      free++
      return
    }
    first.delete(next)
    last.delete(next)
    next()
  }

  return {
    enter: async (signal, options) => {
      signal.throwIfAborted()
      if (free > 0) {
        free--
        return leave
      }
      const waiting = options?.last ? last : first
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
