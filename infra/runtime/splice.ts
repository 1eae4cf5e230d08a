import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ProblemCode, refuseUpgrade } from './problem.ts'

const answerDeadlineMs = 10_000
const maxHead = 16 * 1024

/** Headers that are between the client and this port and mean nothing, or the wrong thing, to Chromium. */
const dropped = new Set([
  'host',
  'origin',
  'x-porthole-key',
  'x-porthole-access',
  'forwarded',
  'cookie',
  'authorization',
])

/** The upgrade request as Chromium gets it: `path` for the target, its own address as Host, no Origin. */
export const upgradeHead = (rawHeaders: readonly string[], path: string, host: string): string => {
  const lines = [`GET ${path} HTTP/1.1`, `Host: ${host}`]
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const lower = name.toLowerCase()
    if (!dropped.has(lower) && !lower.startsWith('x-forwarded-')) lines.push(`${name}: ${rawHeaders[i + 1]}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** Status of an answer's head, 0 when it is none. */
export const statusOf = (head: string): number => Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0)

/** A non-101 answer's head with `Connection: close`, whatever it said about keeping the connection. */
export const closingHead = (head: string): string => {
  const lines = head.split('\r\n').filter(line => line !== '' && !/^(connection|keep-alive):/i.test(line))
  return `${[...lines, 'Connection: close'].join('\r\n')}\r\n\r\n`
}

/**
 * Joins a client that asked for an upgrade to the server on 127.0.0.1:`port`, as raw bytes. Nothing the client sends is
 * passed on before the server has answered 101: after any other answer its bytes would be read as another request.
 * `early` are bytes that came behind the client's request. `onSent` is given what the client sends.
 */
export const splice = (
  incoming: IncomingMessage,
  client: Duplex,
  early: Buffer,
  target: { port: number; path: string; downCode: ProblemCode; onSent?: (chunk: Buffer) => void },
): void => {
  const host = `127.0.0.1:${target.port}`
  const upstream = connect({ host: '127.0.0.1', port: target.port, allowHalfOpen: true, noDelay: true })
  let answered = false
  let head = Buffer.alloc(0)

  const fail = () => {
    upstream.destroy()
    if (answered) client.destroy()
    else refuseUpgrade(client, { code: target.downCode })
    answered = true
  }
  const deadline = setTimeout(fail, answerDeadlineMs)

  const onHead = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end === -1) {
      if (head.length > maxHead) fail()
      return
    }
    clearTimeout(deadline)
    answered = true
    upstream.off('data', onHead)
    upstream.pause()
    const text = head.toString('latin1', 0, end)
    const rest = head.subarray(end + 4)
    if (statusOf(text) !== 101) {
      client.write(closingHead(text), 'latin1')
      client.write(rest)
      // Ends the client too; what it sent is never read.
      upstream.pipe(client)
      upstream.setTimeout(answerDeadlineMs, () => client.destroy())
      return
    }
    client.write(head)
    if (early.length > 0) {
      target.onSent?.(early)
      upstream.write(early)
    }
    client.pipe(upstream)
    // Beside the pipe, which goes on to decide when the client is read.
    if (target.onSent) client.on('data', target.onSent)
    upstream.pipe(client)
  }

  upstream.once('connect', () => upstream.write(upgradeHead(incoming.rawHeaders, target.path, host), 'latin1'))
  upstream.on('data', onHead)
  upstream.on('error', () => {
    clearTimeout(deadline)
    fail()
  })
  upstream.on('end', () => {
    if (!answered) fail()
  })
  upstream.on('close', () => {
    clearTimeout(deadline)
    if (!answered) fail()
    // What was piped to the client may still be under way: end lets it arrive.
    else if (!client.destroyed) client.end()
  })
  client.on('error', () => upstream.destroy())
  client.on('close', () => {
    clearTimeout(deadline)
    upstream.destroy()
  })
}
