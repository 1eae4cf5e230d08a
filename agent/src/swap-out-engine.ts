import type { Logger } from 'pino'
import { withDeadline } from './engine/deadline.ts'
import type { Engine, Labels } from './engine/engine.ts'
import { createSwapOut, type SwapOut } from './swap-out.ts'
import { hasSwap, type KernelFolders, kernelFolders } from './swap-out-group.ts'

/**
 * An engine that has the memory of what it paused written to swap, after its answer. Whatever is done to such a container next
 * stops that first: to let it go on is not held up, and a cgroup can't be removed while somebody writes to it.
 */
export const swapPaused = (engine: Engine, swapOut: Pick<SwapOut, 'begin' | 'stop'>): Engine => ({
  ...engine,
  pause: async id => {
    await engine.pause(id)
    void swapOut.begin(id)
  },
  unpause: async id => {
    swapOut.stop(id)
    try {
      await engine.unpause(id)
    } catch (error) {
      // Where it is paused still; else nothing is written.
      void swapOut.begin(id)
      throw error
    }
  },
  stop: async (id, seconds) => {
    swapOut.stop(id)
    await engine.stop(id, seconds)
  },
  remove: async id => {
    swapOut.stop(id)
    await engine.remove(id)
  },
})

/** An engine that does so, on this machine. */
export type SwappingHere = {
  engine: Engine
  /** Begins with those that are paused already: an agent before this one may not have come to them. Never rejects. */
  beginAll(labels: Labels): Promise<void>
  /** Resolves, after the abort, when all is as it should be left, and after a second at the latest. */
  settled(): Promise<void>
}

/** Milliseconds that an agent which ends waits for a write that nobody can end: of 16 MiB. */
const settleMs = 1000

/**
 * The same with this machine's swap, until aborted; says so when there is none. Swap that is added later is used.
 * @param deps.folders absent: the kernel's own
 */
export const swapPausedHere = async (deps: {
  engine: Engine
  folders?: KernelFolders
  signal: AbortSignal
  log: Logger
}): Promise<SwappingHere> => {
  const { engine, folders = kernelFolders, signal, log } = deps
  if (!(await hasSwap(folders))) {
    log.warn('paused containers stay in memory: PORTHOLE_SWAP_OUT is on and this machine has no swap; add some')
  }
  const swapOut = createSwapOut({ engine, folders, signal, log })
  return {
    engine: swapPaused(engine, swapOut),
    beginAll: async labels => {
      try {
        for (const { id, status } of await engine.list(labels)) if (status === 'paused') void swapOut.begin(id)
      } catch (err) {
        log.warn({ err }, 'what is paused already stays in memory: the engine did not tell')
      }
    },
    settled: () => withDeadline(settleMs, swapOut.idle).catch(() => log.warn('a write to swap did not end in time')),
  }
}
