import type { TestContext } from 'node:test'
import { dial, startChain, type Wire } from './relay-kit.ts'

/** What a case is run through: a relay alone, or gateway and agent, in front of an upstream that the case has made. */
export interface Front {
  port: number
  /** Where a path of the upstream is on this side. */
  at(path: string): string
  /** Header lines without which nobody gets through. */
  credentials: readonly string[]
  /** What the upstream is told as Host by a client that says `public.example`. */
  host: string
  /** Whether cookies of the upstream are passed on; where it has no origin of its own they must not be. */
  passesCookies: boolean
}

/** Puts a front before the upstream at `origin`, for one test. */
export type OpenFront = (t: TestContext, origin: string) => Promise<Front>

/** One hop: a relay, and nothing else. */
export const relayFront: OpenFront = async (t, origin) => {
  const { port } = await startChain(t, 1, { origin })
  return { port, at: path => path, credentials: [], host: 'public.example', passesCookies: true }
}

/** A client's connection, and the heads it sends on it. */
export async function visit(t: TestContext, front: Front) {
  const wire: Wire = await dial(t, front.port)
  return Object.assign(wire, {
    ask: (method: string, path: string, ...headers: string[]) => wire.send(headOf(front, method, path, headers)),
    upgrade: (...headers: string[]) => wire.send(headOf(front, 'GET', '/ws', [...upgradeHeaders, ...headers])),
  })
}

export type Visitor = Awaited<ReturnType<typeof visit>>

const upgradeHeaders = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
]

/** The head of a request, as it goes on the wire. */
export const headOf = (front: Front, method: string, path: string, headers: readonly string[] = []): string =>
  [`${method} ${front.at(path)} HTTP/1.1`, 'Host: public.example', ...front.credentials, ...headers, '', ''].join(
    '\r\n',
  )

/** The values of a header in the first head that came on a wire. */
export const valuesOf = (wire: Wire, name: string): string[] =>
  wire.received
    .slice(0, wire.received.indexOf('\r\n\r\n'))
    .split('\r\n')
    .filter(line => line.toLowerCase().startsWith(`${name}:`))
    .map(line => line.slice(name.length + 1).trim())
