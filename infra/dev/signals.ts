/** Two presses within this time are one: npm passes on the Ctrl-C that the terminal has sent to all of us already. */
const samePressMs = 700

export type StopSignals = {
  /** Aborted by the first Ctrl-C, TERM or HUP, or when what started us was killed. */
  stop: AbortSignal
  /** Aborted by a second one. */
  force: AbortSignal
}

/** Turns the signals of this process into abort signals; from then on none ends it outright. */
export function stopSignals(tell: (text: string) => void, now = () => performance.now()): StopSignals {
  const stop = new AbortController()
  const force = new AbortController()
  let first = 0
  const press = () => {
    if (!stop.signal.aborted) {
      first = now()
      tell('Stopping; press Ctrl-C again to stop at once.')
      stop.abort(new DOMException('stopped by a signal', 'AbortError'))
    } else if (now() - first > samePressMs && !force.signal.aborted) {
      tell('Stopping at once.')
      force.abort(new DOMException('stopped by a second signal', 'AbortError'))
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, press)
  if (process.connected) process.once('disconnect', press)
  return { stop: stop.signal, force: force.signal }
}
