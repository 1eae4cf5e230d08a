import type http from 'node:http'

/** Milliseconds in which a client may finish a request body that nobody wants any more. */
const patienceMs = 5_000

/**
 * Lets an answer out whose request has not been read to its end: a connection that ends with the answer is reset over what
 * still comes, and the answer with it. It ends when both are over, where that was wanted.
 */
export function outliveUpload(req: http.IncomingMessage, res: http.ServerResponse): void {
  if (req.complete || res.shouldKeepAlive) return
  res.shouldKeepAlive = true
  let left = 2
  const end = () => {
    left -= 1
    if (left === 0) req.socket.end()
  }
  res.once('finish', end)
  req.once('end', end)
}

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
