import { type CdpClient, type CdpEvent, type CdpParams, CdpRefused } from './cdp-client.ts'

/** An action that could not be done; `code` is stable. */
export class ActionFailed extends Error {
  override name = 'ActionFailed'
  readonly code: 'navigation-failed' | 'script-failed' | 'not-found' | 'timeout' | 'refused'
  constructor(code: ActionFailed['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A page target, driven through its own session. */
export type Page = {
  send: (method: string, params: CdpParams, signal: AbortSignal) => Promise<CdpParams>
  /** Runs an expression in the page and gives its value by JSON; waits for a promise. */
  evaluate: (expression: string, signal: AbortSignal) => Promise<unknown>
  /** Starts to look for an event at once; `done` resolves with the first one that fits. */
  expect: (fits: (event: CdpEvent) => boolean, signal: AbortSignal) => { done: Promise<CdpEvent>; cancel: () => void }
  detach: () => void
}

type TargetInfo = { targetId: string; type: string; url: string }

/** The page that a person sees: the one used last, or a new one when none is open. */
const findTarget = async (client: CdpClient, signal: AbortSignal): Promise<string> => {
  // Chromium lists targets by last use.
  const { targetInfos } = (await client.send('Target.getTargets', {}, { signal })) as { targetInfos: TargetInfo[] }
  const found = targetInfos.find(({ type, url }) => type === 'page' && !url.startsWith('devtools://'))
  if (found !== undefined) return found.targetId
  const created = await client.send('Target.createTarget', { url: 'about:blank' }, { signal })
  return String(created.targetId)
}

type Evaluation = {
  result?: { value?: unknown }
  exceptionDetails?: { text?: string; exception?: { description?: string } }
}

/** Attaches to the page that was used last, brings it to the front, and answers its dialogs meanwhile. */
export const attachPage = async (client: CdpClient, signal: AbortSignal): Promise<Page> => {
  const targetId = await findTarget(client, signal)
  const attached = await client.send('Target.attachToTarget', { targetId, flatten: true }, { signal })
  const session = String(attached.sessionId)
  const send: Page['send'] = async (method, params, signal) => {
    try {
      return await client.send(method, params, { session, signal })
    } catch (cause) {
      if (cause instanceof CdpRefused) throw new ActionFailed('refused', cause.message, { cause })
      throw cause
    }
  }
  const stopListening = client.onEvent(event => {
    if (event.sessionId !== session || event.method !== 'Page.javascriptDialogOpening') return
    // An open dialog stops the page and with it every action; leaving a page is what the caller asked for.
    const accept = event.params.type === 'beforeunload'
    client
      .send('Page.handleJavaScriptDialog', { accept }, { session, signal: AbortSignal.timeout(5000) })
      .catch(() => {})
  })
  await Promise.all([
    send('Page.enable', {}, signal),
    send('Page.setLifecycleEventsEnabled', { enabled: true }, signal),
    send('Page.bringToFront', {}, signal),
  ])
  return {
    send,
    evaluate: async (expression, signal) => {
      const params = { expression, awaitPromise: true, returnByValue: true, userGesture: true }
      const { result, exceptionDetails } = (await send('Runtime.evaluate', params, signal)) as Evaluation
      if (exceptionDetails === undefined) return result?.value
      const reason = exceptionDetails.exception?.description ?? exceptionDetails.text ?? 'The script failed'
      throw new ActionFailed('script-failed', reason.slice(0, 2000))
    },
    expect: (fits, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<CdpEvent>()
      const cancel = client.onEvent(event => {
        if (event.sessionId !== session || !fits(event)) return
        cancel()
        resolve(event)
      })
      promise.catch(() => {})
      signal.addEventListener('abort', () => {
        cancel()
        reject(signal.reason)
      })
      return { done: promise, cancel }
    },
    detach: () => {
      stopListening()
      client
        .send('Target.detachFromTarget', { sessionId: session }, { signal: AbortSignal.timeout(5000) })
        .catch(() => {})
    },
  }
}
