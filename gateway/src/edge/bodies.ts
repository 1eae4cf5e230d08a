import type http from 'node:http'
import type { MiddlewareHandler } from 'hono'
import { Problem } from '../problem.ts'
import type { AppEnv } from '../routes/openapi.ts'

const tooSlow = 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

/**
 * Ends a request whose body is not there `ms` milliseconds after its head: with a 408 where it is its turn to be
 * answered. Nobody may hold a request open by sending its body a byte at a time.
 */
export const bodyDeadline =
  (ms: number): MiddlewareHandler<AppEnv> =>
  async (c, next) => {
    const { incoming, outgoing } = c.env ?? {}
    if (!incoming || incoming.complete) return next()
    const timer = setTimeout(() => {
      if (incoming.complete) return
      const { socket } = incoming
      // Past the response, as Node does for late heads: whatever the handler answers has no connection any more.
      if (outgoing.socket === socket && !outgoing.headersSent) socket.write(tooSlow)
      socket.destroySoon()
    }, ms)
    try {
      await next()
    } finally {
      clearTimeout(timer)
    }
  }

const tooLarge = (max: number) => new Problem('too-large', { detail: `${max} bytes are allowed` })

/** The body's bytes, no more than `max`, and read only when somebody asks for them. */
const bounded = (incoming: http.IncomingMessage, max: number, onTooLarge: () => void) => {
  let chunks: AsyncIterator<Buffer> | undefined
  let size = 0
  return new ReadableStream<Uint8Array>(
    {
      pull: async controller => {
        chunks ??= incoming.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
        const { done, value } = await chunks.next()
        if (done) return controller.close()
        size += value.length
        if (size <= max) return controller.enqueue(value)
        onTooLarge()
        // Lets go of the request without ending it: what is left of the body runs out under the answer.
        await chunks.return?.()
        controller.error(tooLarge(max))
      },
    },
    { highWaterMark: 0 },
  )
}

/**
 * Refuses bodies of more than `max` bytes, by the length they say, or as they come. Nothing is read here: a stranger is
 * sent away with nothing of theirs in memory.
 *
 * @throws Problem `too-large`
 */
export const bodyBound =
  (max: number): MiddlewareHandler<AppEnv> =>
  async (c, next) => {
    const incoming = c.env?.incoming
    if (!incoming) return next()
    if (Number(incoming.headers['content-length'] ?? 0) > max) throw tooLarge(max)
    const { method } = c.req
    if (incoming.headers['transfer-encoding'] === undefined || method === 'GET' || method === 'HEAD') return next()
    let isTooLarge = false
    const body = bounded(incoming, max, () => {
      isTooLarge = true
    })
    const { headers, signal } = c.req.raw
    // The server's own Request: it takes a stream without being told that it is half duplex.
    c.req.raw = new Request(c.req.url, { method, headers, signal, body })
    await next()
    // Whoever read it took the break for malformed JSON.
    if (isTooLarge) throw tooLarge(max)
  }

/** Levels of arrays and objects in a body; ours have five at most. */
const maxDepth = 64

/** Whether `bracket` is in the text more than `max` times. */
const hasMoreOf = (text: string, bracket: string, max: number): boolean => {
  let at = -1
  for (let count = 0; count <= max; count += 1) {
    at = text.indexOf(bracket, at + 1)
    if (at < 0) return false
  }
  return true
}

/** Whether JSON text is nested deeper than `max`, by its brackets outside of strings; text that is no JSON may be either. */
export const isDeeperThan = (text: string, max: number): boolean => {
  // Most bodies have too few to be deep, and those are found much faster than levels are counted.
  if (!hasMoreOf(text, '[', max / 2) && !hasMoreOf(text, '{', max / 2)) return false
  let depth = 0
  let isString = false
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    // A backslash takes the next character with it.
    if (isString && code === 0x5c) at += 1
    else if (code === 0x22) isString = !isString
    else if (isString) continue
    else if (code === 0x5b || code === 0x7b) depth += 1
    else if (code === 0x5d || code === 0x7d) depth -= 1
    if (depth > max) return true
  }
  return false
}

/** Has bodies read as JSON only when they are not deep: V8 takes a tenth of a second for 1 MiB of brackets, alone. */
export const shallowJson: MiddlewareHandler<AppEnv> = async (c, next) => {
  const { req } = c
  req.json = async () => {
    const text = await req.text()
    // As for any other text that is not what it should be: the reader makes a 400 of it.
    if (isDeeperThan(text, maxDepth)) throw new SyntaxError(`JSON of more than ${maxDepth} levels`)
    return JSON.parse(text)
  }
  await next()
}
