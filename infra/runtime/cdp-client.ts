import { once } from 'node:events'
import WebSocket from 'ws'

export type CdpParams = Record<string, unknown>
export type CdpEvent = { method: string; params: CdpParams; sessionId: string | undefined }

/** A DevTools command that Chromium refused. */
export class CdpRefused extends Error {
  override name = 'CdpRefused'
}

/** A connection to the browser target; page targets are reached through flat sessions. */
export type CdpClient = {
  /**
   * Sends a command and gives its result.
   * @throws CdpRefused when Chromium answers with an error, the signal's reason when it is aborted, Error when the
   * connection ends first.
   */
  send: (
    method: string,
    params: CdpParams,
    options: { session?: string | undefined; signal: AbortSignal },
  ) => Promise<CdpParams>
  /** Calls `listener` for every event until the returned function is called. */
  onEvent: (listener: (event: CdpEvent) => void) => () => void
  close: () => void
}

type Waiting = { resolve: (result: CdpParams) => void; reject: (error: Error) => void }
type Message = {
  id?: number
  method?: string
  params?: CdpParams
  sessionId?: string
  result?: CdpParams
  error?: { message: string }
}

/** The largest message taken from Chromium: a full-page screenshot or a PDF in base64. */
const maxMessage = 256 * 1024 * 1024

/** Connects to Chromium's browser target at `ws://127.0.0.1:<port><path>`. */
export const connectCdp = async (port: number, path: string, signal: AbortSignal): Promise<CdpClient> => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { perMessageDeflate: false, maxPayload: maxMessage })
  const waiting = new Map<number, Waiting>()
  const listeners = new Set<(event: CdpEvent) => void>()
  let lastId = 0
  socket.on('error', () => {})
  socket.on('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('Chromium closed its DevTools connection'))
    waiting.clear()
  })
  socket.on('message', data => {
    const message: Message = JSON.parse(String(data))
    if (message.id === undefined) {
      const event = { method: message.method ?? '', params: message.params ?? {}, sessionId: message.sessionId }
      for (const listener of listeners) listener(event)
      return
    }
    const call = waiting.get(message.id)
    waiting.delete(message.id)
    if (message.error !== undefined) call?.reject(new CdpRefused(message.error.message))
    else call?.resolve(message.result ?? {})
  })
  try {
    await once(socket, 'open', { signal })
  } catch (error) {
    socket.terminate()
    throw error
  }
  return {
    send: (method, params, { session, signal }) =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted()
        if (socket.readyState !== WebSocket.OPEN) throw new Error('Chromium closed its DevTools connection')
        const id = ++lastId
        const abort = () => {
          waiting.delete(id)
          reject(signal.reason)
        }
        const settled = () => signal.removeEventListener('abort', abort)
        waiting.set(id, {
          resolve: result => {
            settled()
            resolve(result)
          },
          reject: error => {
            settled()
            reject(error)
          },
        })
        signal.addEventListener('abort', abort, { once: true })
        socket.send(JSON.stringify({ id, method, params, sessionId: session }))
      }),
    onEvent: listener => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: () => socket.close(),
  }
}
