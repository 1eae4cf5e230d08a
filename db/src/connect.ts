import { once } from 'node:events'
import net from 'node:net'
import { sql } from 'drizzle-orm'
import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import * as schema from './schema.ts'

export type Db = PostgresJsDatabase<typeof schema>
/** What a query runs on: the database, or a transaction in it. */
export type Tx = Parameters<Parameters<Db['transaction']>[0]>[0] | Db

export type Database = {
  db: Db
  /** Calls `onNotice` for each NOTIFY on `channel`, and `onListening` after every (re)connect, when some may be missed. */
  listen(
    channel: string,
    onNotice: (payload: string) => void,
    onListening?: () => void,
  ): Promise<{ unlisten(): Promise<void> }>
  /** Ends the connections; running queries get `seconds` (default 5) to finish. */
  close(seconds?: number): Promise<void>
}

/**
 * A socket that gives up on a server which says nothing for longer than it lets any statement run: a network that
 * swallows packets must end queries too, and TCP by itself takes a quarter of an hour. An idle connection that is closed this way is
 * opened again when it is needed.
 */
const impatientSocket =
  (silenceMs: number) =>
  async ({ host, port, path }: Destination): Promise<net.Socket> => {
    const socket = path ? net.connect(path) : net.connect(Number([port].flat()[0]), String([host].flat()[0]))
    const connecting = AbortSignal.timeout(connectMs)
    try {
      await once(socket, 'connect', { signal: connecting })
    } catch (cause) {
      socket.destroy()
      if (!connecting.aborted) throw cause
      throw Object.assign(new Error('the database did not accept a connection in time'), { code: 'CONNECT_TIMEOUT' })
    }
    closeQuietly(socket)
    socket.setTimeout(silenceMs, () => socket.destroy())
    return socket
  }

/**
 * postgres.js loses a query that is made between a socket's `error` and its `close`: it never ends (seen in 3.4.9). So a
 * connection that stood just closes, without an error before; postgres.js then fails what was under way with
 * CONNECTION_CLOSED.
 */
const closeQuietly = (socket: net.Socket): void => {
  const emit = socket.emit.bind(socket)
  socket.emit = (event: string | symbol, ...args: unknown[]) => {
    if (event === 'error') return true
    return event === 'close' ? emit('close', false) : Reflect.apply(emit, socket, [event, ...args])
  }
}

type Destination = { host?: unknown; port?: unknown; path?: string | false | undefined }

const connectMs = 5000
const defaultSilenceMs = 20_000

/**
 * Connects lazily, with at most `max` connections (default 10). A statement is cancelled by the server after 15 s, so no
 * wait on a lock is endless.
 *
 * @param url `postgres://user:password@host:port/database`
 */
export const connect = (
  url: string,
  { max = 10, silenceMs = defaultSilenceMs }: { max?: number; silenceMs?: number } = {},
): Database => {
  const options = {
    connect_timeout: 5,
    // Seconds before the next attempt, up to one: left to itself the client waits up to 20, long after the database is back.
    backoff: (attempt: number) => Math.min(1, 0.05 * 2 ** attempt) * (0.5 + Math.random() / 2),
    connection: {
      application_name: 'porthole',
      statement_timeout: 15_000,
      idle_in_transaction_session_timeout: 15_000,
    },
    // Notices ("relation exists, skipping") are chatter of migrations.
    onnotice: () => {},
  }
  // Taken by postgres.js, though its types do not say so.
  const undocumented = { socket: impatientSocket(silenceMs) }
  const client = postgres(url, { ...options, max, idle_timeout: 60, ...undocumented })
  // Its connection is silent for as long as nothing happens.
  const listener = postgres(url, { ...options, max: 1 })
  return {
    db: drizzle(client, { schema }),
    listen: (channel, onNotice, onListening) => listener.listen(channel, onNotice, onListening),
    close: async (seconds = 5) => {
      await Promise.all([client.end({ timeout: seconds }), listener.end({ timeout: seconds })])
    },
  }
}

/** Resolves when the database answers. */
export const ping = async (db: Tx): Promise<void> => {
  await db.execute(sql`select 1`)
}
