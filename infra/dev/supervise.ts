import { setTimeout as delay } from 'node:timers/promises'
import type { Step } from './process-identity.ts'

/** A process of ours that others depend on. */
export type Part = {
  pid: number
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  stop(steps?: readonly Step[]): Promise<void>
}

export type Watching = {
  /** A line for the person. */
  tell: (text: string) => void
  /** Something runs anew, perhaps with another number. */
  onChange: () => void
  /** Ends the watch; what runs then is not touched. */
  signal: AbortSignal
}

export type Kept<P extends Part> = {
  /** The one that runs, or ran last. */
  current(): P
  /**
   * Starts it again when it ends, with growing pauses; the count begins anew after a minute of steady running. Resolves when the
   * signal aborts, and rejects when five attempts in a row did not help.
   */
  watch(watching: Watching): Promise<void>
}

export type Keeping<P extends Part> = {
  /** As a sentence begins with it. */
  name: string
  /** Starts one; `former` is the one it replaces. */
  start: (signal: AbortSignal, former: P | undefined) => Promise<P>
  signal: AbortSignal
  backOffMs?: (attempt: number) => number
}

const limit = 5
const steadyMs = 60_000

/** Half a second, doubled with each attempt, up to 8 s. */
export const backOff = (attempt: number): number => Math.min(8_000, 500 * 2 ** (attempt - 1))

/** Starts a part that can then be watched over. */
export async function keep<P extends Part>({ name, start, signal, backOffMs = backOff }: Keeping<P>): Promise<Kept<P>> {
  let current = await start(signal, undefined)
  return {
    current: () => current,
    async watch({ tell, onChange, signal }) {
      const stopped = aborted(signal)
      for (let attempt = 0; ; ) {
        const since = performance.now()
        const exit = await Promise.race([current.ended, stopped])
        if (exit === undefined || signal.aborted) return
        if (performance.now() - since > steadyMs) attempt = 0
        let reason: string = exit.signal ?? `exit code ${exit.code}`
        for (let next: P | undefined; !next; ) {
          attempt += 1
          if (attempt > limit) throw new Error(`${name} does not stay up: ${limit} new starts did not help (${reason})`)
          tell(`${name} ended (${reason}); starting it again (${attempt} of ${limit}).`)
          await delay(backOffMs(attempt), undefined, { signal }).catch(() => {})
          if (signal.aborted) return
          try {
            next = await start(signal, current)
            current = next
            onChange()
          } catch (error) {
            if (signal.aborted) return
            reason = error instanceof Error ? error.message : String(error)
          }
        }
      }
    },
  }
}

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise(resolve => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
