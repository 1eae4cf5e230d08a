import net, { type Socket } from 'node:net'
import { collectTimes } from '../simulation/figures.ts'
import { servePart } from '../simulation/part.ts'

/** Opens WebSockets by hand, so that the client costs as little as can be. */

export type Target = { port: number; path: string; headers: Readonly<Record<string, string>> }

/** A masked binary frame of 64 bytes (RFC 6455, section 5.2). */
const ping = Buffer.concat([Buffer.from([0x82, 0x80 | 64, 1, 2, 3, 4]), Buffer.alloc(64, 7)])
const openMs = 20_000

type Open = { socket: Socket; onBytes(listener: (bytes: number) => void): void }

const open = ({ port, path, headers }: Target): Promise<Open> => {
  const { promise, resolve, reject } = Promise.withResolvers<Open>()
  let head = ''
  let isOpen = false
  let listener = (_: number) => {}
  const socket = net.connect({
    port,
    host: '127.0.0.1',
    noDelay: true,
    // One buffer for all: what comes is counted and thrown away.
    onread: {
      buffer: shared,
      callback: (bytes, buffer) => {
        if (isOpen) listener(bytes)
        else {
          head += Buffer.from(buffer).toString('latin1', 0, bytes)
          const end = head.indexOf('\r\n\r\n')
          if (end >= 0) {
            if (!head.startsWith('HTTP/1.1 101')) reject(new Error(`no socket at ${path}: ${head.slice(0, 300)}`))
            isOpen = true
            resolve({
              socket,
              onBytes: then => {
                listener = then
              },
            })
          }
        }
        return true
      },
    },
  })
  socket.setTimeout(openMs, () => socket.destroy(new Error('no answer')))
  socket.once('error', reject)
  socket.once('close', () => reject(new Error(`closed before it was open: ${path}`)))
  const lines = Object.entries({
    Host: `127.0.0.1:${port}`,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
  return promise.finally(() => socket.setTimeout(0))
}
const shared = new Uint8Array(512 * 1024)

const openMany = async (target: Target, count: number, atOnce = 100): Promise<Open[]> => {
  const opened: Open[] = []
  while (opened.length < count)
    opened.push(
      ...(await Promise.all(Array.from({ length: Math.min(atOnce, count - opened.length) }, () => open(target)))),
    )
  return opened
}
const wait = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
const closeAll = (opened: Open[]) => {
  for (const { socket } of opened) socket.destroy()
}

let idle: Open[] = []

servePart({
  /** Each connection sends a message when the last one is back. @returns round trips a second, and their p99 in ms */
  roundTrips: async ({ target, connections, seconds }: { target: Target; connections: number; seconds: number }) => {
    const opened = await openMany(target, connections)
    const times = collectTimes()
    let count = 0
    let failed: Error | undefined
    for (const { socket, onBytes } of opened) {
      let missing = ping.length
      let sentAt = performance.now()
      const send = () => {
        missing = ping.length
        sentAt = performance.now()
        socket.write(ping)
      }
      onBytes(bytes => {
        missing -= bytes
        if (missing > 0) return
        count += 1
        times.add(performance.now() - sentAt)
        send()
      })
      socket.once('error', error => (failed ??= error))
      send()
    }
    await wait(300)
    const before = count
    const startedAt = performance.now()
    await wait(seconds * 1000)
    const perSecond = (count - before) / ((performance.now() - startedAt) / 1000)
    closeAll(opened)
    if (failed) throw failed
    return { perSecond, p99: times.quantile(0.99) }
  },
  /** Clients read as fast as they can. @returns MB a second, together */
  flood: async ({ target, connections, seconds }: { target: Target; connections: number; seconds: number }) => {
    const opened = await openMany(target, connections)
    let bytes = 0
    for (const { onBytes } of opened)
      onBytes(more => {
        bytes += more
      })
    await wait(300)
    const before = bytes
    const startedAt = performance.now()
    await wait(seconds * 1000)
    const perSecond = (bytes - before) / 1e6 / ((performance.now() - startedAt) / 1000)
    closeAll(opened)
    return { perSecond }
  },
  /** Opens connections that say nothing, until `endIdle`. */
  idle: async ({ target, connections }: { target: Target; connections: number }) => {
    idle = await openMany(target, connections, 50)
    return idle.length
  },
  /** Round trips on the idle ones, one at a time. @returns quantiles in ms */
  pingIdle: async ({ count }: { count: number }) => {
    const times = collectTimes()
    for (let n = 0; n < count; n += 1) {
      const chosen = idle[Math.floor((n * idle.length) / count)]
      if (!chosen) throw new Error('nothing is open')
      const startedAt = performance.now()
      await new Promise<void>((resolve, reject) => {
        let missing = ping.length
        chosen.socket.once('close', () => reject(new Error('an idle connection was closed')))
        chosen.onBytes(bytes => {
          missing -= bytes
          if (missing <= 0) resolve()
        })
        chosen.socket.write(ping)
      })
      times.add(performance.now() - startedAt)
    }
    return { p50: times.quantile(0.5), p99: times.quantile(0.99) }
  },
  endIdle: async () => {
    closeAll(idle)
    idle = []
  },
})
