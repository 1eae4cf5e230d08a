import { once } from 'node:events'
import WebSocket from 'ws'

type Json = Record<string, unknown>
type Waiting = { resolve(result: Json): void; reject(error: Error): void }
/** An event of a target, or of the browser where `sessionId` is missing. */
export type CdpEvent = { method: string; params: Json; sessionId?: string }

/** A bare DevTools connection: what a client library would hide is in the test's hands. */
export type Cdp = {
  send(method: string, params?: Json, sessionId?: string): Promise<Json>
  /** Every event so far, oldest first. */
  events: readonly CdpEvent[]
  /** The first event that fits, also of those that have come. @throws Error after `withinMs` */
  event(method: string, fits?: (event: CdpEvent) => boolean, withinMs?: number): Promise<CdpEvent>
  closed: Promise<unknown>
  close(): void
}

/** @throws Error when the socket is refused, or nothing happens for 60 s */
export const connectCdp = async (url: string, headers: Record<string, string>): Promise<Cdp> => {
  const socket = new WebSocket(url, { headers, perMessageDeflate: false, maxPayload: 512 * 1024 ** 2 })
  const closed = new Promise(resolve => socket.once('close', resolve))
  await once(socket, 'open', { signal: AbortSignal.timeout(60_000) })
  const waiting = new Map<number, Waiting>()
  const events: CdpEvent[] = []
  let lastId = 0
  socket.on('message', (data: Buffer) => {
    const { id, result, error, ...event } = JSON.parse(data.toString())
    if (id === undefined) {
      events.push(event)
      socket.emit('told')
      return
    }
    const { resolve, reject } = waiting.get(id) ?? {}
    waiting.delete(id)
    if (error) reject?.(new Error(error.message))
    else resolve?.(result)
  })
  socket.once('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('DevTools have closed the connection'))
  })
  return {
    events,
    closed,
    send: (method, params = {}, sessionId = undefined) =>
      new Promise<Json>((resolve, reject) => {
        const id = ++lastId
        waiting.set(id, { resolve, reject })
        socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }))
      }),
    event: async (method, fits = () => true, withinMs = 30_000) => {
      const signal = AbortSignal.timeout(withinMs)
      for (;;) {
        const found = events.find(event => event.method === method && fits(event))
        if (found) return found
        await once(socket, 'told', { signal })
      }
    },
    close: () => socket.terminate(),
  }
}

/** Reads a DevTools stream (`IO.read`) to its end. */
export const readStream = async (cdp: Cdp, handle: string, sessionId?: string): Promise<Buffer> => {
  const parts: Buffer[] = []
  for (;;) {
    const { data, base64Encoded, eof } = await cdp.send('IO.read', { handle, size: 1024 * 1024 }, sessionId)
    parts.push(Buffer.from(String(data), base64Encoded ? 'base64' : 'utf8'))
    if (eof) break
  }
  await cdp.send('IO.close', { handle }, sessionId)
  return Buffer.concat(parts)
}
