import { once } from 'node:events'
import WebSocket from 'ws'

/** Milliseconds until a socket is open, and for one answer on it. */
const openMs = 30_000
const answerMs = 20_000

export type Opened = {
  socket: WebSocket
  /** @throws Error when none comes in time */
  firstMessage(): Promise<string>
}

/** A socket that is open, or the status that it was refused with; 0: there was no answer. */
export const openSocket = (url: string, token: string, protocols: string[]): Promise<Opened | { status: number }> => {
  const socket = new WebSocket(url.replace('http', 'ws'), protocols, {
    headers: { authorization: `Bearer ${token}` },
    handshakeTimeout: openMs,
  })
  // It may come with the answer to the upgrade, before anybody knows that the socket is open.
  const first = Promise.withResolvers<string>()
  first.promise.catch(() => {})
  socket.once('message', data => first.resolve(String(data)))
  socket.once('close', () => first.reject(new Error('closed')))
  const firstMessage = async () => {
    const timer = setTimeout(() => first.reject(new Error('nothing was said')), answerMs)
    return await first.promise.finally(() => clearTimeout(timer))
  }
  const { promise, resolve } = Promise.withResolvers<Opened | { status: number }>()
  socket.once('open', () => resolve({ socket, firstMessage }))
  socket.once('unexpected-response', (_, answer) => {
    resolve({ status: answer.statusCode ?? 0 })
    socket.terminate()
  })
  socket.on('error', () => resolve({ status: 0 }))
  return promise
}

/** Whether a view's server greets (RFC 6143 section 7.1.1). */
export const isGreeting = (message: string): boolean => /^RFB \d{3}\.\d{3}\n/.test(message)

/** Whether a ping comes back, all the way from the runtime: a socket that is cut looks open for long. */
export const isAlive = async (socket: WebSocket, ms = answerMs): Promise<boolean> => {
  if (socket.readyState !== WebSocket.OPEN) return false
  const pong = once(socket, 'pong', { signal: AbortSignal.timeout(ms) })
  socket.ping()
  return await pong.then(
    () => true,
    () => false,
  )
}

/** One call of the DevTools protocol. @throws Error when there is no answer in time */
export const askBrowser = async (
  socket: WebSocket,
  method: string,
  params: object = {},
): Promise<Record<string, unknown>> => {
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>()
  const timer = setTimeout(() => reject(new Error(`${method} was not answered`)), answerMs)
  const listen = (data: WebSocket.RawData) => {
    const { id, result, error } = JSON.parse(String(data))
    if (id !== 1) return
    if (error) reject(new Error(error.message))
    else resolve(result)
  }
  const closed = () => reject(new Error('closed'))
  socket.on('message', listen).once('close', closed)
  socket.send(JSON.stringify({ id: 1, method, params }))
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    socket.off('message', listen).off('close', closed)
  }
}
