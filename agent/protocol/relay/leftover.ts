import type http from 'node:http'

/** Milliseconds in which a client may finish a request body that nobody wants any more. */
const patienceMs = 5_000

/**
 * Reads and discards what is left of a body after its answer, so that the connection can be used again; a client that
 * does not come to an end loses it. Closing at once would reset the connection under the answer.
 */
export function leftover(req: http.IncomingMessage): void {
  if (req.readableEnded || req.destroyed) return
  const deadline = setTimeout(() => req.destroy(), patienceMs)
  req.once('close', () => clearTimeout(deadline))
  req.resume()
}
