import { keyHeader, type StartSteps } from '@porthole/protocol'
import { Agent, type Dispatcher, request } from 'undici'
import { z } from 'zod'

/** Milliseconds one try may take (PARITY B11). */
export const tryMs = 2000

/** Seconds that a container in its start may hold a try back, to answer it as soon as it is ready: less than a try may take. */
const waitSeconds = 1
const toldIn: ReadonlySet<string> = new Set(['application/json', 'application/problem+json'])
/** Characters of an answer that are read at most. */
const maxLength = 16_384

/** What a container may tell of its start in a good answer: milliseconds by step. */
const ms = z.number().min(0).max(86_400_000)
/** And for how long it has been unused. Each is taken if it makes sense, whatever the other is. */
const document = z.object({
  start: z.object({ boot: ms, display: ms, browser: ms }).partial().optional().catch(undefined),
  unusedMs: z.number().min(0).max(Number.MAX_SAFE_INTEGER).optional().catch(undefined),
})

/** `unusedMs`: milliseconds since its view, CDP or RPC was used, where the container tells. */
export type Health = { ok: true; steps?: StartSteps; unusedMs?: number } | { ok: false; why: string; unusedMs?: number }

/** What is asked for its health; `waits`: it may answer a little later, once it is ready. */
export type Target = { origin: string; path: string; key?: string; waits?: boolean }

/** Asks one health path once: 2xx is ready. Rejects only when `signal` is aborted. */
export type Probe = (target: Target, signal: AbortSignal) => Promise<Health>

/** A probe over HTTP. A container that is coming up drops connections, so none is kept. */
export const httpProbe = (): Probe => {
  const dispatcher = new Agent({ connect: { timeout: tryMs } })
  return async ({ origin, path, key, waits }, signal) => {
    try {
      const answer = await request(`${origin}${path}`, {
        dispatcher,
        reset: true,
        headers: {
          ...(key === undefined ? {} : { [keyHeader]: key }),
          // RFC 7240, section 4.3. Whoever does not know it answers at once.
          ...(waits ? { prefer: `wait=${waitSeconds}` } : {}),
        },
        signal: AbortSignal.any([signal, AbortSignal.timeout(tryMs)]),
      })
      const { statusCode } = answer
      if (statusCode >= 200 && statusCode < 300) return { ok: true, ...(await toldBy(answer)) }
      const { unusedMs } = await toldBy(answer)
      return { ok: false, why: `status ${statusCode}`, ...(unusedMs === undefined ? {} : { unusedMs }) }
    } catch (error) {
      signal.throwIfAborted()
      return { ok: false, why: reason(error) }
    }
  }
}

/** What an answer tells besides, a problem too; one that is none of ours, nothing. */
const toldBy = async ({
  headers,
  body,
}: Dispatcher.ResponseData): Promise<{ steps?: StartSteps; unusedMs?: number }> => {
  if (!toldIn.has(String(headers['content-type']))) {
    await body.dump()
    return {}
  }
  let text = ''
  for await (const chunk of body.setEncoding('utf8')) {
    text += chunk
    if (text.length > maxLength) return {}
  }
  const told = document.safeParse(jsonIn(text))
  if (!told.success) return {}
  const { start, unusedMs } = told.data
  return { ...(start && { steps: start }), ...(unusedMs === undefined ? {} : { unusedMs }) }
}

const jsonIn = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const reason = (error: unknown): string => {
  if (error instanceof DOMException && error.name === 'TimeoutError') return `no answer within ${tryMs / 1000} s`
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return 'no usable answer'
}
