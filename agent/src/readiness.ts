import { setTimeout as sleep } from 'node:timers/promises'
import type { StartSteps } from '@porthole/protocol'
import { untilAborted } from './engine/deadline.ts'
import type { Engine } from './engine/engine.ts'
import { isAbsent } from './engine/errors.ts'
import type { Health } from './health.ts'

/** Milliseconds from one try to the next: quick at first, as most of our containers are up within a second or two. */
const firstPauseMs = 20
const longestPauseMs = 250
/** Milliseconds from the end of a try to the next at least. */
const leastPauseMs = 5

/** How the wait for a container ended; `steps`: what it tells of its start. */
export type Outcome =
  | { end: 'ready'; steps?: StartSteps }
  | { end: 'exited'; exitCode?: number }
  | { end: 'aborted'; lastFailure: string }

type Time = { now(): number; sleep(ms: number, signal: AbortSignal): Promise<unknown> }
const realTime: Time = { now: () => performance.now(), sleep: (ms, signal) => sleep(ms, undefined, { signal }) }

/**
 * Asks `probe` until it is content, the container ends, or `signal` is aborted, whichever comes first.
 * Never rejects for the engine's sake: an engine that is out for a moment is no reason to give a container up.
 */
export const waitUntilReady = async (
  engine: Pick<Engine, 'waitForExit'>,
  containerId: string,
  probe: (signal: AbortSignal) => Promise<Health>,
  signal: AbortSignal,
  time: Time = realTime,
): Promise<Outcome> => {
  const over = new AbortController()
  const both = AbortSignal.any([signal, over.signal])
  let lastFailure = 'no health check has been answered yet'
  const polling = async (): Promise<Outcome> => {
    for (let pause = firstPauseMs; ; pause = Math.min(pause * 1.5, longestPauseMs)) {
      const triedAt = time.now()
      const health = await probe(both)
      if (health.ok) return { end: 'ready', ...(health.steps && { steps: health.steps }) }
      lastFailure = health.why
      // One that has held the try back is asked again at once.
      await time.sleep(Math.max(leastPauseMs, pause - (time.now() - triedAt)), both)
    }
  }
  try {
    return await untilAborted(signal, Promise.race([polling(), exit(engine, containerId, both)]))
  } catch (error) {
    if (!signal.aborted) throw error
    return { end: 'aborted', lastFailure }
  } finally {
    over.abort()
  }
}

/** Resolves only when the container has ended or is gone. */
const exit = async (
  engine: Pick<Engine, 'waitForExit'>,
  containerId: string,
  signal: AbortSignal,
): Promise<Outcome> => {
  try {
    return { end: 'exited', exitCode: await engine.waitForExit(containerId, signal) }
  } catch (error) {
    if (isAbsent(error)) return { end: 'exited' }
    return new Promise(() => undefined)
  }
}
