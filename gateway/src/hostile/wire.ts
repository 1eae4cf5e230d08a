import net from 'node:net'

/** Milliseconds that a raw exchange may take. */
const patience = 15_000

export type Talk = {
  /** All that came back, as latin1. */
  text: string
  /** Milliseconds from the connection to its end, or to when enough had come. */
  ms: number
  isClosed: boolean
}

export type TalkOptions = {
  /** Where the client comes from; Linux has all of 127.0.0.0/8. */
  from?: string
  /** Enough has come; else the end of the connection is waited for. */
  until?: (text: string) => boolean
  /** Given the socket once it stands. @returns what ends what it began */
  meanwhile?: (socket: net.Socket) => (() => void) | undefined
}

/** Sends bytes over a connection of their own, and hears what comes back. @throws Error when nothing ends it in time */
export const talk = (port: number, bytes: string | Buffer, options: TalkOptions = {}): Promise<Talk> =>
  new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: options.from, noDelay: true })
    let text = ''
    let stop: (() => void) | undefined
    const done = (isClosed: boolean) => {
      clearTimeout(deadline)
      stop?.()
      socket.destroy()
      resolve({ text, ms: performance.now() - startedAt, isClosed })
    }
    const deadline = setTimeout(() => {
      stop?.()
      socket.destroy()
      reject(
        new Error(`nothing ended the exchange within ${patience} ms; so far: ${JSON.stringify(text.slice(0, 500))}`),
      )
    }, patience)
    socket.on('connect', () => {
      if (bytes.length > 0) socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
      stop = options.meanwhile?.(socket)
    })
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      if (options.until?.(text)) done(false)
    })
    // A reset is an end too.
    socket.on('error', () => {})
    socket.on('close', () => done(true))
  })

/** The statuses of all answers in what came back. */
export const statusesIn = (text: string): number[] =>
  [...text.matchAll(/(?:^|\r\n|[^\r\n])HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))

/** The first answer is whole: head, and as much body as it says. */
export const isWhole = (text: string): boolean => {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return false
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end))?.[1] ?? 0)
  if (/\r\ntransfer-encoding: *chunked/i.test(text.slice(0, end))) return text.endsWith('0\r\n\r\n')
  return text.length - end - 4 >= length
}

export const head = (line: string, headers: readonly string[] = []): string =>
  [line, 'Host: gateway.example', ...headers, '', ''].join('\r\n')

export const upgradeHeaders = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]
