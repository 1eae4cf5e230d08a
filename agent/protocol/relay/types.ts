import type http from 'node:http'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'
import type { RelayErrorCode } from './errors.ts'

/** What one relay holds for all of its traffic. Times are milliseconds. */
export interface RelayOptions {
  /** Until a connection to an upstream stands, TLS included; then 504. Default 5 000. */
  connectTimeoutMs?: number
  /** How long an idle upstream connection is kept for the next request. Default 4 000. */
  keepAliveMs?: number
  /** Exchanges (requests and sockets) at a time; one more is a 503. Default 20 000. */
  maxExchanges?: number
  /** TLS options for an https origin: its pinned certificate (`ca`), `checkServerIdentity`, `servername`. */
  tls?: (origin: string) => ConnectionOptions | undefined
}

/** Where one request goes and what is changed on its way. */
export interface RelayTarget {
  /** `http://host:port` or `https://host:port`, nothing behind it. */
  origin: string
  /** PEM: only the holder of this certificate is the upstream. Anyone else is sent nothing, and the client a 503. */
  certificate?: string
  /** Path and query as they go on the wire. The caller has made sure that they stay where they may go. */
  path: string
  /** Set last: each replaces whatever the client sent under that name. `host` replaces the client's Host, else it is kept. */
  headers: Readonly<Record<string, string>>
  /** Whether a header of the request must not reach the upstream, as a credential of this hop. `name` is lower case. */
  drop?: (name: string) => boolean
  /**
   * The client's own `X-Forwarded-*`, `Forwarded` and `X-Real-IP` are always dropped, except with `'keep'`: for a hop
   * whose client is our own gateway, which has set them.
   */
  forwarded?: 'keep' | { for: string; proto: 'http' | 'https'; host: string }
  /** Called for each answer header: its value to pass on (changed or not), or undefined to drop it. `name` is lower case. */
  answerHeader?: (name: string, value: string) => string | undefined
  /**
   * Looks at an answer's head before anything is sent: what it returns is sent instead, and the upstream's answer is
   * discarded. `rawHeaders` is flat, `[name, value, …]`.
   */
  instead?: (status: number, rawHeaders: readonly string[]) => (RelayProblem & { status: number }) | undefined
  /** Called when an upgrade's two sockets are joined: the upstream has said 101, to `protocol`, and the client is told. */
  onJoined?: (protocol: string) => void
  /**
   * Given, after `onJoined`, every piece of what the client of an upgrade sends, in order, as it is passed on. It looks at it
   * only: the piece is not its own, neither to change nor to keep, and it may not throw.
   */
  onSent?: (piece: Buffer) => void
  /** Set last on the upstream's answer: each replaces whatever the upstream sent under that name. Not on problems. */
  answerHeaders?: Readonly<Record<string, string>>
  /** From connected to the answer's head; then 504. Default 300 000 for HTTP, 15 000 for an upgrade. 0: none. */
  answerTimeoutMs?: number
  /** Silence within an answer's body, or on both directions of a spliced socket, that ends it. Default 0: none. */
  idleTimeoutMs?: number
  /** Silence on a spliced socket after one side's FIN, until the other side's is no longer waited for. Default 60 000. 0: none. */
  halfOpenTimeoutMs?: number
  /** Silence of a client within a body that the upstream would read on, then 504. Default: `idleTimeoutMs`. 0: none. */
  uploadIdleTimeoutMs?: number
  /** Aborted: sockets are closed at once, and a request without an answer yet is a 503. For revocation, stop, move. */
  signal?: AbortSignal
  /** Given, as it begins, what ends it in that way: cheaper than a signal where each request would have one of its own. */
  onBegin?: (stop: () => void) => void
  /** The caller's own body for an error the relay answers itself. Default: a minimal problem+json. */
  problem?: (failure: RelayFailure) => RelayProblem
}

export interface RelayFailure {
  code: RelayErrorCode
  status: number
  /** One sentence, without addresses or secrets. */
  title: string
}

export interface RelayProblem {
  headers: Readonly<Record<string, string>>
  body: string
}

/** For the one line of log. */
export interface RelayResult {
  /** What the client was sent (101 for a spliced socket), or 0 when it got no answer. */
  status: number
  /** Why the exchange ended other than well. */
  code?: RelayErrorCode
  /** Bytes of body (HTTP) or after the heads (upgrade) from the client. */
  bytesIn: number
  /** The same towards the client. */
  bytesOut: number
}

/** Neither method ever rejects for what a client, an upstream or the network does. */
export interface Relay {
  /** Relays one request; resolves when the exchange is over. The relay owns `req` and `res` from the call on. */
  http(req: http.IncomingMessage, res: http.ServerResponse, target: RelayTarget): Promise<RelayResult>
  /**
   * Relays one WebSocket upgrade (the arguments of a server's `upgrade` event); resolves when both sockets are closed.
   * The relay owns `socket` from the call on. To refuse an upgrade before, see `refuseUpgrade`.
   */
  upgrade(req: http.IncomingMessage, socket: Duplex, head: Buffer, target: RelayTarget): Promise<RelayResult>
  /**
   * Lets `Expect: 100-continue` go end to end for the requests that `isRelayed` names, instead of Node's own early 100.
   * Without this call such requests work too, but the upstream does not get to refuse the body.
   */
  deferContinue(server: http.Server, isRelayed: (req: http.IncomingMessage) => boolean): void
  /** Ends all exchanges and closes all upstream connections. */
  close(): Promise<void>
}
