import { setTimeout as delay } from 'node:timers/promises'

/**
 * Repeats an assertion until it holds, and fails with its last failure after `withinMs`. Only for what no event tells.
 */
export async function eventually<T>(assertion: () => T | Promise<T>, withinMs = 10_000, everyMs = 50): Promise<T> {
  const deadline = performance.now() + withinMs
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (performance.now() + everyMs > deadline) throw error
    }
    await delay(everyMs)
  }
}
