import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'

export type Reply = {
  status: number
  /** Milliseconds from the request to the whole answer. */
  ms: number
  /** What time of day it is for the process that answers, in milliseconds since the epoch. */
  time: number
}

/** Asks for a path on a connection of its own, whose certificate may be anybody's. Ends after five seconds. */
export async function ask(url: string, headers: Record<string, string> = {}): Promise<Reply> {
  const startedAt = performance.now()
  const secure = url.startsWith('https:')
  const signal = AbortSignal.timeout(5_000)
  const request = secure
    ? https.get(url, { agent: false, rejectUnauthorized: false, headers, signal })
    : http.get(url, { agent: false, headers, signal })
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage]
  await answer.resume().toArray()
  return {
    status: answer.statusCode ?? 0,
    ms: performance.now() - startedAt,
    time: Date.parse(answer.headers.date ?? ''),
  }
}
