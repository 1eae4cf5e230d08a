import { perform } from './actions.ts'
import { type CdpClient, connectCdp } from './cdp-client.ts'
import type { Chromium } from './chromium.ts'
import { ActionFailed, attachPage, type Page } from './page.ts'
import type { Action } from './rpc-schema.ts'

/** How one action went. After the first that is not `ok` no other one is tried. */
export type ActionResult = {
  type: Action['type']
  ok: boolean
  /** Milliseconds it took. */
  ms: number
  error?: { code: string; detail: string }
  [output: string]: unknown
}

const attachDeadlineMs = 10_000

const failure = (error: unknown, deadline: AbortSignal, timeoutMs: number): ActionResult['error'] => {
  if (deadline.aborted) return { code: 'timeout', detail: `not done after ${timeoutMs} ms` }
  if (error instanceof ActionFailed) return { code: error.code, detail: error.message }
  return { code: 'browser-down', detail: error instanceof Error ? error.message : String(error) }
}

const runOne = async (page: Page, action: Action, signal: AbortSignal): Promise<ActionResult> => {
  const begin = performance.now()
  const deadline = AbortSignal.timeout(action.timeoutMs)
  const took = () => Math.round(performance.now() - begin)
  try {
    const output = await perform(page, action, AbortSignal.any([signal, deadline]))
    return { type: action.type, ok: true, ms: took(), ...output }
  } catch (error) {
    return { type: action.type, ok: false, ms: took(), error: failure(error, deadline, action.timeoutMs) }
  }
}

/**
 * Carries actions out one after the other on the page that was used last, and tells each result as it comes.
 * @throws Error when Chromium's DevTools can't be reached.
 */
export async function* runActions(
  chromium: Chromium,
  actions: readonly Action[],
  signal: AbortSignal,
): AsyncGenerator<ActionResult> {
  const attaching = AbortSignal.any([signal, AbortSignal.timeout(attachDeadlineMs)])
  const client: CdpClient = await connectCdp(chromium.port, chromium.browserPath, attaching)
  try {
    const page = await attachPage(client, attaching)
    for (const action of actions) {
      const result = await runOne(page, action, signal)
      if (signal.aborted) return
      yield result
      if (!result.ok) return
    }
  } finally {
    // Its sessions end with the connection.
    client.close()
  }
}
