import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { sendProblem } from './problem.ts'

const deadlineMs = 10_000
/** `/json/protocol`, the largest answer, is 2 MB. */
const maxAnswer = 16 * 1024 * 1024

const rewriteTarget = (value: unknown, inner: string, outer: string): unknown => {
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, field]) =>
    (name === 'webSocketDebuggerUrl' || name === 'devtoolsFrontendUrl') && typeof field === 'string'
      ? [name, field.replace(inner, outer)]
      : [name, field],
  )
  return Object.fromEntries(entries)
}

/**
 * A discovery answer in which sockets are at `outer`, the Host the client asked for, instead of at Chromium's own
 * `inner`. Only the two fields that hold addresses are touched: a page may have the inner address in its title.
 */
export const rewriteDiscovery = (body: string, inner: string, outer: string): string => {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    return body
  }
  const rewritten = Array.isArray(parsed)
    ? parsed.map(target => rewriteTarget(target, inner, outer))
    : rewriteTarget(parsed, inner, outer)
  return JSON.stringify(rewritten, null, 2)
}

/** Passes a `/json/*` request on to Chromium on `port` and gives its answer with the client's own Host in it. */
export const proxyDiscovery = (incoming: IncomingMessage, response: ServerResponse, port: number): void => {
  const inner = `127.0.0.1:${port}`
  const outer = incoming.headers.host ?? inner
  const fail = () => {
    if (!response.headersSent) sendProblem(response, { code: 'browser-down' })
    else response.destroy()
  }
  const upstream = request(
    {
      ...{ host: '127.0.0.1', port, method: incoming.method, path: incoming.url, headers: { host: inner } },
      signal: AbortSignal.timeout(deadlineMs),
    },
    answer => {
      const chunks: Buffer[] = []
      let size = 0
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > maxAnswer) answer.destroy(new Error('The discovery answer is too large'))
        else chunks.push(chunk)
      })
      answer.on('error', fail)
      answer.on('end', () => {
        const body = rewriteDiscovery(Buffer.concat(chunks).toString('utf8'), inner, outer)
        const type = answer.headers['content-type'] ?? 'application/json; charset=UTF-8'
        response.writeHead(answer.statusCode ?? 502, { 'content-type': type, 'cache-control': 'no-cache' }).end(body)
      })
    },
  )
  upstream.on('error', fail)
  response.on('close', () => upstream.destroy())
  upstream.end()
}
