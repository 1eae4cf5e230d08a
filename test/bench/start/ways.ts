import type { StartWorld } from './world.ts'

/** A browser that runs, whoever started it. */
export type Running = {
  /** Docker's name or id of its container. */
  container: string
  /** Milliseconds of the steps of its start, by whoever tells them. */
  steps?(): Promise<Readonly<Record<string, number>>>
  /** Has it frozen. */
  pause(): Promise<void>
  /** Lets it go on, in the way that a client would: resolves with the first answer of DevTools. */
  wake(): Promise<void>
  remove(): Promise<void>
}

/** A way to get a browser. What is measured is the time until `start` resolves: with the first answer of DevTools. */
export type Way = { name: string; start(owner: string): Promise<Running> }

/** Porthole from nothing: a new owner, a fresh profile. */
export const cold = ({ client, containerOf }: StartWorld): Way => ({
  name: 'Porthole, cold',
  start: async owner => {
    const runtime = await client.ensure(owner)
    await client.firstAnswer(runtime)
    return {
      container: containerOf(runtime.ownerHash).id,
      steps: () => client.stepsOf(runtime),
      pause: () => client.turn(runtime, 'pause'),
      wake: () => client.firstAnswer(runtime),
      remove: () => client.remove(runtime),
    }
  },
})

/** A container put together by hand, asked once a second. */
export const byHand = ({ plain, docker }: StartWorld, signal: AbortSignal): Way => ({
  name: 'plain container, asked once a second',
  start: async owner => {
    const made = await plain.start(owner, signal)
    return {
      container: made.id,
      pause: async () => void (await docker.getContainer(made.id).pause()),
      wake: async () => {
        await docker.getContainer(made.id).unpause()
        if (!(await plain.answers(made))) throw new Error('a plain container does not answer after a pause')
      },
      remove: () => plain.remove(made),
    }
  },
})

/** Milliseconds that some work takes, and its result. */
export const timed = async <T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> => {
  const from = performance.now()
  const result = await work()
  return { ms: performance.now() - from, result }
}
