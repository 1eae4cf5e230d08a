import net from 'node:net'

/** A kept connection that asks one thing at a time: as cheap as can be, because the simulation shares the machine. */
export type Wire = {
  /** @throws Error when the connection fails, or the answer takes longer than `ms` */
  ask(request: string, ms: number): Promise<Answer>
  close(): void
}

export type Answer = { status: number; body: string }

type Waiting = { resolve(answer: Answer): void; reject(error: Error): void; timer: NodeJS.Timeout }

/**
 * Connects when it is first needed, and again after a failure.
 *
 * @param localAddress where it comes from: with thousands from one address to one port, the kernel looks longer and longer for a
 *   free port
 */
export const openWire = (port: number, localAddress = '127.0.0.1'): Wire => {
  let socket: net.Socket | undefined
  let waiting: Waiting | undefined
  let received = ''

  const settle = (outcome: Answer | Error) => {
    const asker = waiting
    waiting = undefined
    received = ''
    if (!asker) return
    clearTimeout(asker.timer)
    if (outcome instanceof Error) asker.reject(outcome)
    else asker.resolve(outcome)
  }
  const drop = (error: Error) => {
    const dropped = socket
    socket = undefined
    dropped?.destroy()
    settle(error)
  }
  const connect = () => {
    const connecting = net.connect({ port, host: '127.0.0.1', localAddress })
    connecting.setNoDelay(true)
    connecting.setEncoding('latin1')
    connecting.on('data', (text: string) => {
      received += text
      const answer = answerIn(received)
      if (answer) settle(answer)
    })
    const gone = (error = new Error('the connection was closed')) => {
      if (socket === connecting) drop(error)
    }
    connecting.on('error', gone)
    connecting.on('close', () => gone())
    return connecting
  }
  return {
    ask: (request, ms) =>
      new Promise((resolve, reject) => {
        if (waiting) return reject(new Error('the wire is in use'))
        const timer = setTimeout(() => drop(new Error('no answer in time')), ms)
        waiting = { resolve, reject, timer }
        socket ??= connect()
        socket.write(request)
      }),
    close: () => drop(new Error('closed')),
  }
}

/** A whole answer, with or without chunks; undefined while some of it is missing. */
export const answerIn = (text: string): Answer | undefined => {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const head = text.slice(0, headEnd)
  const status = Number(head.slice(9, 12))
  const body = text.slice(headEnd + 4)
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1]
  if (length !== undefined) return body.length < Number(length) ? undefined : { status, body }
  return body.endsWith('0\r\n\r\n') ? { status, body: body.replaceAll(/(^|\r\n)[0-9a-f]+\r\n/gi, '') } : undefined
}
