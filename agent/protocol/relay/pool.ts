import type { Socket } from 'node:net'
import { Agent, Client, type Dispatcher, Pool } from 'undici'
import type { Connect } from './connect.ts'

/** What a request may want to know of the connection it was sent on. */
export interface Connection {
  /** Requests sent on it so far. */
  requests: number
  /** It ended with an error, not with a FIN. */
  broken: boolean
}

export interface PooledRequest extends Dispatcher.DispatchOptions {
  /**
   * Constant per origin. Without it undici takes the name from the Host header, and reconnects whenever that differs.
   * The connector does not look at it.
   */
  servername: string
  /** Told which connection carries the request, before it is sent. */
  onConnection: (connection: Connection) => void
}

/** undici's client, one request at a time, which keeps the book on its connection. */
class BookkeepingClient extends Client {
  readonly #connection: Connection

  constructor(origin: URL, options: Client.Options, connect: Connect) {
    const connection: Connection = { requests: 0, broken: false }
    super(origin, {
      ...options,
      connect: (_, callback) => {
        connect(origin, undefined, (error, socket) => {
          if (error !== null || socket === null) return callback(error ?? new Error('No socket'), null)
          connection.requests = 0
          connection.broken = false
          noteBreak(socket, connection)
          callback(null, socket)
        })
      },
    })
    this.#connection = connection
  }

  override dispatch(options: Dispatcher.DispatchOptions | PooledRequest, handler: Dispatcher.DispatchHandler): boolean {
    if ('onConnection' in options) options.onConnection(this.#connection)
    return super.dispatch(options, handler)
  }
}

/** undici sees a reset in a body without a length as its end; the book says otherwise. */
function noteBreak(socket: Socket, connection: Connection): void {
  socket.on('error', error => {
    connection.broken = !('code' in error && error.code === 'UND_ERR_INFO')
  })
}

/** Kept-alive connections to every origin, as many per origin as there are requests at a time. HTTP/1.1 only. */
export function createPool(connect: Connect, keepAliveMs: number): Agent {
  const options = {
    allowH2: false,
    pipelining: 1,
    keepAliveTimeout: keepAliveMs,
    // An upstream that says how long it keeps one is taken at its word only up to that.
    keepAliveMaxTimeout: keepAliveMs,
    maxHeaderSize: 16 * 1024,
  } as const satisfies Client.Options
  const client = (origin: URL) => new BookkeepingClient(origin, options, connect)
  return new Agent({ factory: origin => new Pool(origin, { ...options, factory: client }) })
}
