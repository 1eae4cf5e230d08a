import type http from 'node:http'

/** Options for every `http.createServer` (or https) whose requests are relayed. Times are milliseconds. */
export const relayServerOptions = {
  /** Bytes; more is Node's own 431. */
  maxHeaderSize: 16 * 1024,
  headersTimeout: 30_000,
  /** None: an upload may take as long as it keeps moving; the relay ends one that does not. */
  requestTimeout: 0,
  /** Longer than any client of ours keeps an idle connection, so that it is never us who close one being reused. */
  keepAliveTimeout: 65_000,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
  /** An upgrade to anything else (curl's h2c) is answered as the plain request it also is (RFC 9110 section 7.8). */
  shouldUpgradeCallback: (req: http.IncomingMessage) => req.headers.upgrade?.toLowerCase() === 'websocket',
} satisfies http.ServerOptions
