import { keyHeader } from '@porthole/protocol'
import { Agent, request } from 'undici'

/** Milliseconds one try may take (PARITY B11). */
export const tryMs = 2000

export type Health = { ok: true } | { ok: false; why: string }

/** Asks one health path once: 2xx is ready. Rejects only when `signal` is aborted. */
export type Probe = (target: { origin: string; path: string; key?: string }, signal: AbortSignal) => Promise<Health>

/** A probe over HTTP. A container that is coming up drops connections, so none is kept. */
export const httpProbe = (): Probe => {
  const dispatcher = new Agent({ connect: { timeout: tryMs } })
  return async ({ origin, path, key }, signal) => {
    try {
      const answer = await request(`${origin}${path}`, {
        dispatcher,
        reset: true,
        headers: key === undefined ? {} : { [keyHeader]: key },
        signal: AbortSignal.any([signal, AbortSignal.timeout(tryMs)]),
      })
      await answer.body.dump()
      const { statusCode } = answer
      return statusCode >= 200 && statusCode < 300 ? { ok: true } : { ok: false, why: `status ${statusCode}` }
    } catch (error) {
      signal.throwIfAborted()
      return { ok: false, why: reason(error) }
    }
  }
}

const reason = (error: unknown): string => {
  if (error instanceof DOMException && error.name === 'TimeoutError') return `no answer within ${tryMs / 1000} s`
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return 'no usable answer'
}
