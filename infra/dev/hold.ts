import { clearHosts } from '../hosts/clear.ts'
import type { UpConfig } from './config.ts'
import { endLeftProcesses, hostsDir } from './leftovers.ts'
import type { Shape } from './options.ts'
import type { Progress } from './progress.ts'
import { raise } from './raise.ts'
import type { DevInfo, State } from './state.ts'
import { type Ending, tearDown } from './teardown.ts'

export type Holding = {
  config: UpConfig
  shape: Shape
  /** Taken by this process already; released at the end. */
  state: State
  progress: Progress
  onReady: (info: DevInfo) => void
  /** Aborted to end the stack in order. */
  stop: AbortSignal
  /** Aborted to end it at once. */
  force: AbortSignal
}

/**
 * The whole life of a stack: starts it, keeps its processes running, and ends all of it when asked to, when starting
 * fails, or when a part cannot be kept running (rejects then, with everything ended).
 */
export async function hold({ config, shape, state, progress, onReady, stop, force }: Holding): Promise<void> {
  const endings: Ending[] = []
  try {
    const cutOff = await endLeftProcesses(state)
    if ((await clearHosts(hostsDir(state))) || cutOff) progress.note('An earlier run was cut off; taking over from it.')
    const stack = await raise({ config, shape, state, progress, endings, signal: stop })
    state.writeDev(stack.info())
    onReady(stack.info())
    await stack.watch(() => state.writeDev(stack.info()))
  } catch (error) {
    if (!stop.aborted) throw error
  } finally {
    state.removeDev()
    const failures = await tearDown(endings, progress, force)
    for (const failure of failures) progress.note(`✗ ${failure}`)
    if (failures.length === 0) state.forgetRun()
    state.release()
  }
}
