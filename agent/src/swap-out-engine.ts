import type { Logger } from 'pino'
import type { Engine } from './engine/engine.ts'
import { createSwapOut, type SwapOut } from './swap-out.ts'
import { hasSwap, type KernelFolders, kernelFolders } from './swap-out-group.ts'

/**
 * An engine that has the memory of what it paused written to swap, after its answer. Whatever is done to such a container next
 * stops that first: to let it go on is not held up, and a cgroup can't be removed while somebody writes to it.
 */
export const swapPaused = (engine: Engine, swapOut: SwapOut): Engine => ({
  ...engine,
  pause: async id => {
    await engine.pause(id)
    void swapOut.begin(id)
  },
  unpause: async id => {
    swapOut.stop(id)
    await engine.unpause(id)
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

/**
 * The same with this machine's swap, until aborted; says so when there is none. Swap that is added later is used.
 * @param deps.folders absent: the kernel's own
 */
export const swapPausedHere = async (deps: {
  engine: Engine
  folders?: KernelFolders
  signal: AbortSignal
  log: Logger
}): Promise<Engine> => {
  const { engine, folders = kernelFolders, signal, log } = deps
  if (!(await hasSwap(folders))) {
    log.warn('paused containers stay in memory: PORTHOLE_SWAP_OUT is on and this machine has no swap; add some')
  }
  return swapPaused(engine, createSwapOut({ engine, folders, signal, log }))
}
