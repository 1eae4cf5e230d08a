import type http from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { Limits } from '../config.ts'

/** Milliseconds between two lines of log about connections that were turned away. */
const toldMs = 10_000

/** `::ffff:10.0.0.7` and `fe80::1%eth0` as `10.0.0.7` and `fe80::1`. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=[\d.]+$)/i, '').replace(/%.*$/, '')

/** Who a remote address is. In IPv6 that is its /64: the other half is a host's own to choose, as often as it likes. */
export const peerOf = (address: string): string => {
  const plain = plainAddress(address).toLowerCase()
  if (!plain.includes(':')) return plain
  const [head = '', tail] = plain.split('::', 2)
  const groups = (text: string) => (text === '' ? [] : text.split(':'))
  // An IPv4 address at the end stands for two groups.
  const width = (parts: string[]) => parts.length + (parts.at(-1)?.includes('.') ? 1 : 0)
  const front = groups(head)
  const back = groups(tail ?? '')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - width(front) - width(back))
  const all = [...front, ...Array.from({ length: zeros }, () => '0'), ...back]
  const prefix = all.slice(0, 4).map(group => Number.parseInt(group, 16).toString(16))
  return `${prefix.join(':')}::/64`
}

/**
 * Bounds a server's open connections, upgraded ones too: in all, and per remote address. One too many is closed at once,
 * before a byte of it is read, so that it costs those that are open nothing.
 *
 * @param now milliseconds of any clock that only moves forward
 */
export const limitConnections = (
  server: http.Server,
  limits: Pick<Limits, 'connections' | 'connectionsPerAddress' | 'proxies'>,
  log: Logger,
  now: () => number = () => performance.now(),
): void => {
  const open = new Map<string, number>()
  const exempt = new Set(limits.proxies.map(address => plainAddress(address).toLowerCase()))
  let refused = 0
  let toldAt = Number.NEGATIVE_INFINITY

  const turnAway = (why: string, address: string | undefined) => {
    refused += 1
    if (now() - toldAt < toldMs) return
    log.warn({ why, address, refused }, 'connections turned away')
    toldAt = now()
    refused = 0
  }

  server.maxConnections = limits.connections
  server.on('drop', dropped => turnAway('too many in all', dropped?.remoteAddress))
  // Before Node's own listener, which would begin to parse.
  server.prependListener('connection', (socket: Socket) => {
    const address = socket.remoteAddress
    // It has gone already.
    if (address === undefined || exempt.has(plainAddress(address).toLowerCase())) return
    const peer = peerOf(address)
    const count = open.get(peer) ?? 0
    if (count >= limits.connectionsPerAddress) {
      turnAway('too many from one address', address)
      socket.destroy()
      return
    }
    open.set(peer, count + 1)
    socket.once('close', () => {
      const left = (open.get(peer) ?? 1) - 1
      if (left > 0) open.set(peer, left)
      else open.delete(peer)
    })
  })
}
