import { once } from 'node:events'
import WebSocket from 'ws'

/** A bare DevTools connection for tests, one command at a time. */
export const connectCdpSocket = async (url: string, headers: Record<string, string>) => {
  const socket = new WebSocket(url, { headers })
  await once(socket, 'open', { signal: AbortSignal.timeout(10_000) })
  let lastId = 0
  return {
    socket,
    send: async (method: string, params: Record<string, unknown>): Promise<Record<string, unknown>> => {
      const id = ++lastId
      const signal = AbortSignal.timeout(10_000)
      socket.send(JSON.stringify({ id, method, params }))
      for (;;) {
        const [data] = await once(socket, 'message', { signal })
        const message = JSON.parse(String(data))
        if (message.id === id) return message.result ?? {}
      }
    },
    close: () => socket.close(),
  }
}
