/**
 * Runs `work` with a signal that is aborted after `ms` or with `outer`, and rejects then even when `work` takes no
 * notice: an answer that breaks off in the middle settles nothing in some clients.
 * @throws the signal's reason, or whatever `work` throws.
 */
export const withDeadline = async <T>(
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  outer?: AbortSignal,
): Promise<T> => {
  const ended = new AbortController()
  const timer = setTimeout(() => ended.abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError')), ms)
  const signal = outer ? AbortSignal.any([ended.signal, outer]) : ended.signal
  try {
    return await untilAborted(signal, work(signal))
  } finally {
    clearTimeout(timer)
  }
}

/** `work`, or a rejection with the signal's reason, whichever comes first. */
export const untilAborted = async <T>(signal: AbortSignal, work: Promise<T>): Promise<T> => {
  const aborted = Promise.withResolvers<never>()
  const onAbort = () => aborted.reject(signal.reason)
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
    // Whichever lost the race must not become an unhandled rejection.
    work.catch(() => undefined)
    aborted.promise.catch(() => undefined)
  }
}
