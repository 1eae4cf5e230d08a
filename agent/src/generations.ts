import { AgentError } from './problems.ts'

/**
 * The highest generation seen of each runtime, so that a command that was overtaken on its way has no effect. Labels
 * of live containers say the same; this also covers what is gone.
 */
export type Generations = {
  /** @throws `stale-generation` when a newer one was seen, or this one has been stopped or deleted */
  admitStart(id: string, generation: number, ownerHash: string): void
  /** @throws `stale-generation` when a newer one was seen, or this one has been stopped or deleted */
  admit(id: string, generation: number): void
  /**
   * As `admitStart`, for what ends a runtime: no start of this generation is admitted afterwards.
   * @returns the owner, where this agent has seen one
   */
  admitEnd(id: string, generation: number): string | undefined
}

type Seen = { highest: number; ended: number; ownerHash?: string }

/**
 * @param limit runtimes remembered; beyond it the one longest untouched is forgotten
 */
export const createGenerations = (limit: number): Generations => {
  const seen = new Map<string, Seen>()
  const touch = (id: string, generation: number): Seen => {
    const entry = seen.get(id) ?? { highest: 0, ended: 0 }
    if (generation < entry.highest) throw stale()
    entry.highest = generation
    seen.delete(id)
    seen.set(id, entry)
    for (const oldest of seen.keys()) {
      if (seen.size <= limit) break
      seen.delete(oldest)
    }
    return entry
  }
  const admit = (id: string, generation: number): Seen => {
    if (generation <= (seen.get(id)?.ended ?? 0)) throw stale()
    return touch(id, generation)
  }
  return {
    admitStart: (id, generation, ownerHash) => {
      admit(id, generation).ownerHash = ownerHash
    },
    admit: (id, generation) => {
      admit(id, generation)
    },
    admitEnd: (id, generation) => {
      const entry = touch(id, generation)
      entry.ended = generation
      return entry.ownerHash
    },
  }
}

export const stale = (): AgentError => new AgentError('stale-generation')
