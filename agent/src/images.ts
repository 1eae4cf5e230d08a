import { untilAborted } from './engine/deadline.ts'
import type { Engine } from './engine/engine.ts'
import { AgentError } from './problems.ts'

/** Milliseconds a pull may take in all; longer than any one start, which can come back for the rest. */
const pullMs = 15 * 60_000

/** Sees to it that an image is on the host. */
export type Images = {
  /**
   * Pulls the image when it is missing. A pull goes on when the start that asked for it gives up, and others join it.
   * @throws `image-missing`, an engine error, or the signal's reason
   */
  ensure(reference: string, signal: AbortSignal): Promise<void>
}

export const createImages = (engine: Pick<Engine, 'hasImage' | 'pull'>): Images => {
  const pulls = new Map<string, Promise<void>>()
  const pull = async (reference: string): Promise<void> => {
    try {
      await engine.pull(reference, AbortSignal.timeout(pullMs))
    } catch (cause) {
      throw new AgentError(
        'image-missing',
        { detail: `the image ${reference} is not on this host and could not be pulled` },
        { cause },
      )
    } finally {
      pulls.delete(reference)
    }
  }
  return {
    ensure: async (reference, signal) => {
      if (await engine.hasImage(reference)) return
      const running = pulls.get(reference) ?? pull(reference)
      pulls.set(reference, running)
      await untilAborted(signal, running)
    },
  }
}
