import { setTimeout as delay } from 'node:timers/promises'
import { Explained } from './explained.ts'
import { inStep, type Progress } from './progress.ts'
import type { DevInfo, State } from './state.ts'

const patienceMs = 10 * 60_000

/** The stack that another process holds here, waiting for one that is starting; undefined when there is none (any more). */
export async function awaitOther(state: State, progress: Progress): Promise<DevInfo | undefined> {
  if (!state.holder()) return undefined
  const ready = state.readDev()
  if (ready) return ready
  return await inStep(progress, 'Another start', step => {
    step.update('waiting for the npm run up that is at work here')
    return untilReady(state)
  })
}

async function untilReady(state: State): Promise<DevInfo | undefined> {
  const deadline = Date.now() + patienceMs
  for (let holder = state.holder(); holder; holder = state.holder()) {
    const ready = state.readDev()
    if (ready) return ready
    if (Date.now() > deadline) {
      throw new Explained(`Process ${holder.pid} is starting a stack here since long. npm run down ends it.`)
    }
    await delay(100) // it is no child of ours: it tells by a file
  }
  return undefined
}
