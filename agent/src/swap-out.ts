import type { Logger } from 'pino'
import type { Engine } from './engine/engine.ts'
import { createLanes } from './lanes.ts'
import { hasSwap, type KernelFolders, type MemoryGroup, memoryGroupOf, residentBytes } from './swap-out-group.ts'
import { reclaim as reclaimMemory } from './swap-out-reclaim.ts'

/** Containers that may wait for their turn; whoever comes on top of that stays in memory. */
const mostWaiting = 1000
/** 2 GiB on a slow disk. */
const usualMs = 120_000

export type SwapOut = {
  /**
   * Has a paused container's memory written to the swap of this machine; one container at a time.
   * @returns how it ended; never rejects
   */
  begin(id: string): Promise<SwapOutEnd>
  /** Ends that, or its wait, and waits for nothing. */
  stop(id: string): void
  /** Resolves when nothing is under way: all have put back what they changed. */
  idle(): Promise<void>
}

/** `stopped`: by `stop`, the agent's end or its deadline. `left`: it could not be done, and the log says why. */
export type SwapOutEnd = 'swapped' | 'stopped' | 'left'

export type SwapOutDependencies = {
  engine: Pick<Engine, 'inspect'>
  folders: KernelFolders
  /** Absent: the kernel's. */
  reclaim?: (group: MemoryGroup, signal: AbortSignal) => Promise<void>
  /** Milliseconds for one container, the rest of which stays in memory then; absent: two minutes. */
  oneMs?: number
  /** Ends all that is under way, and whatever would begin. */
  signal: AbortSignal
  log: Logger
}

export const createSwapOut = ({ engine, folders, signal, log, ...deps }: SwapOutDependencies): SwapOut => {
  const { oneMs = usualMs } = deps
  const reclaim = deps.reclaim ?? reclaimMemory
  // All in one lane: several at once would only take the disk away from each other.
  const lanes = createLanes(mostWaiting)
  const underWay = new Map<string, AbortController>()
  const told = new Set<string>()

  const begin = async (id: string): Promise<SwapOutEnd> => {
    stop(id)
    const over = new AbortController()
    underWay.set(id, over)
    const either = AbortSignal.any([over.signal, signal])
    try {
      return await lanes.run('swap', () => one(id, AbortSignal.any([either, AbortSignal.timeout(oneMs)])), either)
    } catch (err) {
      if (either.aborted) return 'stopped'
      if (isTimeout(err)) {
        log.warn({ container: id, ms: oneMs }, 'swap is too slow for this container: the rest of it stays in memory')
        return 'stopped'
      }
      log.warn({ container: id, err }, 'memory of a paused container is not written to swap')
      return 'left'
    } finally {
      if (underWay.get(id) === over) underWay.delete(id)
    }
  }

  const one = async (id: string, ended: AbortSignal): Promise<SwapOutEnd> => {
    ended.throwIfAborted()
    // Without swap all that could be taken is what was read from files, which is no use to anybody.
    if (!(await hasSwap(folders))) return 'left'
    const container = await engine.inspect(id)
    if (container?.status !== 'paused') return 'stopped'
    const group = await memoryGroupOf(container, folders)
    if ('leftAlone' in group) {
      if (!told.has(group.leftAlone)) {
        log.warn({ container: id, reason: group.leftAlone }, 'paused containers like this one stay in memory')
      }
      told.add(group.leftAlone)
      return 'left'
    }
    const beforeBytes = await residentBytes(group)
    const startedAt = performance.now()
    ended.throwIfAborted()
    await reclaim(group, ended)
    const ms = Math.round(performance.now() - startedAt)
    log.info({ container: id, beforeBytes, afterBytes: await residentBytes(group), ms }, 'paused container is in swap')
    return 'swapped'
  }

  const stop = (id: string): void => underWay.get(id)?.abort(new DOMException('it is wanted', 'AbortError'))

  return { begin, stop, idle: () => lanes.run('swap', async () => undefined) }
}

const isTimeout = (error: unknown): boolean => error instanceof DOMException && error.name === 'TimeoutError'
