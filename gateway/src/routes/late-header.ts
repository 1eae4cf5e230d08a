import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Context } from 'hono'

/**
 * Adds a header to an answer that has been made. `c.header` would make the answer anew, its body a stream then, each time:
 * that takes longer than most of our handlers.
 */
export const lateHeader = (c: Context, name: string, value: string): void => {
  // One object for all requests, and nobody will send its headers.
  if (c.res === RESPONSE_ALREADY_SENT) return
  try {
    c.res.headers.set(name, value)
  } catch {
    // Those of an answer that `fetch` got cannot be changed.
    c.header(name, value)
  }
}
