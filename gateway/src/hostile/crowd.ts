import net from 'node:net'

/** Milliseconds until a connection must stand or be refused. */
const patience = 10_000

export type Crowd = {
  /** How many stand now. */
  open(): number
  /** Milliseconds that each that was closed by the other side stood for. */
  closed: readonly number[]
  /** Resolves when no more than `count` stand. @throws Error after a while */
  shrunkTo(count: number): Promise<void>
  sockets: readonly net.Socket[]
  leave(): void
}

/**
 * Many connections at once from one address.
 *
 * @param bytes sent on each as soon as it stands
 */
export const gather = async (port: number, from: string, count: number, bytes = ''): Promise<Crowd> => {
  const closed: number[] = []
  const sockets: net.Socket[] = []
  let standing = 0
  let look = () => {}
  const come = () =>
    new Promise<void>(resolve => {
      const socket = net.connect({ port, host: '127.0.0.1', localAddress: from })
      const late = setTimeout(() => socket.destroy(), patience)
      sockets.push(socket)
      let stoodAt = performance.now()
      socket.once('connect', () => {
        clearTimeout(late)
        standing += 1
        stoodAt = performance.now()
        if (bytes) socket.write(bytes)
        resolve()
        socket.once('close', () => {
          standing -= 1
          closed.push(performance.now() - stoodAt)
          look()
        })
      })
      socket.on('error', () => {})
      socket.once('close', () => {
        clearTimeout(late)
        resolve()
      })
      socket.resume()
    })
  await Promise.all(Array.from({ length: count }, come))
  return {
    open: () => standing,
    closed,
    shrunkTo: most =>
      new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`${standing} stand, not ${most}`)), patience)
        look = () => {
          if (standing > most) return
          clearTimeout(late)
          resolve()
        }
        look()
      }),
    sockets,
    leave: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Does something `count` times, `width` at a time. */
export const inTurns = async (count: number, width: number, once: (n: number) => Promise<unknown>): Promise<void> => {
  let next = 0
  const turn = async () => {
    while (next < count) await once(next++)
  }
  await Promise.all(Array.from({ length: width }, turn))
}
