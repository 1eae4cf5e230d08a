import { describeExit, endChild, settlesWithin } from './child.ts'
import { type Chromium, startChromium } from './chromium.ts'
import type { Config } from './config.ts'
import { prepareProfile } from './profile.ts'

/** Chromium, started again when it ends by itself. */
export type Browser = {
  /** The Chromium of this moment; undefined while there is none. */
  current: () => Chromium | undefined
  /** Settles with a reason once Chromium ended too often or could not be started again. */
  ended: Promise<string>
  /** Closes Chromium so that the profile is written: `Browser.close`, 5 s, TERM, 1.5 s, KILL. */
  stop: () => Promise<void>
}

/** More ends than this within the window are a fault that starting again does not heal. */
const maxRestarts = 3
const windowMs = 60_000

/**
 * Starts Chromium and keeps it: somebody who closes its last window, or a crash, costs a second and not the runtime. The
 * pages of the last session are opened again, unless Chromium ended twice within the window: then they may be why.
 * @param config as it is when Chromium is started: the first time, and every other
 * @param display the X server's name, undefined without one; the profile is made ready meanwhile
 * @throws Error when the first start fails.
 */
export const startBrowser = async (
  config: () => Config,
  display: Promise<string | undefined>,
  now: () => number,
  log: (message: string) => void,
): Promise<Browser> => {
  let current: Chromium | undefined
  let stopping = false
  let restarts: number[] = []

  const start = async (): Promise<Chromium> => {
    const preparing = prepareProfile(config(), { restore: restarts.length < 2 })
    const [name, restores] = await Promise.all([display, preparing])
    current = await startChromium(config(), { display: name, restores })
    return current
  }

  const keep = async (first: Chromium): Promise<string> => {
    let chromium = first
    while (true) {
      const exit = await chromium.child.exited
      current = undefined
      if (stopping) return 'Chromium was stopped'
      const reason = `Chromium ${describeExit(exit)}: ${chromium.child.lastWords()}`
      restarts = [...restarts.filter(time => time > now() - windowMs), now()]
      if (restarts.length > maxRestarts)
        return `${reason} (${maxRestarts} restarts within ${windowMs / 1000} s did not help)`
      log(`${reason}; starting it again`)
      try {
        chromium = await start()
      } catch (error) {
        return error instanceof Error ? error.message : String(error)
      }
      if (stopping) await close(chromium)
    }
  }

  const ended = keep(await start())
  return {
    current: () => current,
    ended,
    stop: async () => {
      stopping = true
      if (current !== undefined) await close(current)
    },
  }
}

const closeDeadlineMs = 5000

const close = async (chromium: Chromium): Promise<void> => {
  const signal = AbortSignal.timeout(closeDeadlineMs)
  try {
    // Loaded with the first stop and not before Chromium starts.
    const { connectCdp } = await import('./cdp-client.ts')
    const client = await connectCdp(chromium.port, chromium.browserPath, signal)
    // No answer is needed: the connection may close first. What counts is that the process ends.
    client.send('Browser.close', {}, { signal }).catch(() => {})
    if (await settlesWithin(chromium.child.exited, closeDeadlineMs)) return
  } catch {
    // DevTools don't answer: TERM still lets Chromium write its profile.
  }
  await endChild(chromium.child, 1500)
}
