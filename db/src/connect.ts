import { once } from 'node:events'
import net from 'node:net'
import { type SQL, sql } from 'drizzle-orm'
import { PgDialect, type PreparedQueryConfig } from 'drizzle-orm/pg-core'
import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { againAfterDeadlock, deadlockTries } from './deadlock.ts'
import { gatherNotices, holdNotices, type Notices, onceInAWhile, sendNotices } from './notices.ts'
import * as schema from './schema.ts'

type Queries = Omit<PostgresJsDatabase<typeof schema>, 'transaction'>
/** What a query runs on: the database, or a transaction in it. */
export type Tx = Queries & {
  /** Of a transaction: told once it has been committed. */
  notices: Notices
  /**
   * Executes a statement whose text is the same each time, with other values: each connection has the server keep it, so
   * that it is read and planned once. Not for texts that grow with what they are asked for.
   */
  executeKept<T extends Record<string, unknown>>(statement: SQL): Promise<T[]>
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
}
export type Db = Tx & { $client: postgres.Sql }

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
const impatientSocket = (silenceMs: number) => {
  const standing: Standing = new Map()
  return async ({ host, port, path }: Destination): Promise<net.Socket> => {
    const socket = path ? net.connect(path) : net.connect(Number([port].flat()[0]), String([host].flat()[0]))
    const connecting = AbortSignal.timeout(connectMs)
    try {
      await once(socket, 'connect', { signal: connecting })
    } catch (cause) {
      socket.destroy()
      return breakingSocket(connecting.aborted ? tooLate(cause) : cause)
    }
    closeQuietly(socket, standing)
    socket.setTimeout(silenceMs, () => socket.destroy())
    return socket
  }
}

const tooLate = (cause: unknown): Error =>
  Object.assign(new Error('the database did not accept a connection in time', { cause }), { code: 'CONNECT_TIMEOUT' })

/**
 * postgres.js never takes back a connection that it was given no socket for (seen in 3.4.9): every attempt while the
 * database is away would cost the pool one, until queries wait for ever. So it gets a socket that breaks, once the first
 * thing has been written to it: what it still means to write when a socket closes keeps it from ever writing again.
 */
const breakingSocket = (cause: unknown): net.Socket => {
  const socket = new net.Socket()
  socket.write = () => {
    setImmediate(() => socket.destroy(cause instanceof Error ? cause : new Error(String(cause))))
    return true
  }
  return socket
}

/** The open sockets of one pool, each with what tells postgres.js of its end. */
type Standing = Map<net.Socket, () => void>

/**
 * postgres.js loses a query that is made between a socket's `error` and its `close`: it never ends (seen in 3.4.9). So a
 * connection that stood just closes, without an error before; postgres.js then fails what was under way with
 * CONNECTION_CLOSED. All that have ended are told of in one go: whoever tries again at once would be given the next dead
 * one, and what is about to be written to a socket that closes keeps its connection from ever writing again.
 */
const closeQuietly = (socket: net.Socket, standing: Standing): void => {
  const emit = socket.emit.bind(socket)
  const tell = () => {
    if (standing.delete(socket)) emit('close', false)
  }
  standing.set(socket, tell)
  socket.emit = (event: string | symbol, ...args: unknown[]) => {
    if (event === 'error') return true
    if (event !== 'close') return Reflect.apply(emit, socket, [event, ...args])
    for (const [other, tellOfIt] of standing) if (hasEnded(other)) tellOfIt()
    tell()
    return true
  }
}

const hasEnded = (socket: net.Socket): boolean => socket.destroyed || socket.readableEnded

type Destination = { host?: unknown; port?: unknown; path?: string | false | undefined }

const connectMs = 5000
const defaultSilenceMs = 20_000

const dialect = new PgDialect()

type Drizzled = Pick<PostgresJsDatabase<typeof schema>, 'transaction'> & Queries

/**
 * Gives a database, or a transaction, its notices, and each transaction in it its own until it is committed. One that was
 * ended by a deadlock has done nothing, and is done again: the other has what it waited for by now. Within another there
 * is nothing left to do it in.
 */
const withNotices = <D extends Drizzled>(db: D, notices: Notices, tries: number): Omit<D, 'transaction'> & Tx => {
  const begin = db.transaction.bind(db)
  const attempt = async <T>(work: (tx: Tx) => Promise<T>): Promise<T> => {
    const held = holdNotices(notices)
    const result = await begin(tx => work(withNotices(tx, held, 1)))
    held.release()
    return result
  }
  const transaction = <T>(work: (tx: Tx) => Promise<T>): Promise<T> => againAfterDeadlock(() => attempt(work), tries)
  const executeKept = async <T>(statement: SQL): Promise<T[]> =>
    db._.session
      .prepareQuery<PreparedQueryConfig & { execute: T[] }>(dialect.sqlToQuery(statement), undefined, 'kept', false)
      .execute()
  return Object.assign(db, { notices, executeKept, transaction })
}

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
      // A statement that is kept is planned each time all the same: a plan from when a table was small would read all of
      // it for as long as Postgres has not counted it again.
      plan_cache_mode: 'force_custom_plan',
    },
    // Notices ("relation exists, skipping") are chatter of migrations.
    onnotice: () => {},
    // Nothing here reads or writes arrays. The look at their types that postgres.js (3.4.9) makes on each new connection is
    // awaited by nobody: a connection that ends during it would end the process.
    fetch_types: false,
  }
  // Taken by postgres.js, though its types do not say so.
  const undocumented = { socket: impatientSocket(silenceMs) }
  const client = postgres(url, { ...options, max, idle_timeout: 60, ...undocumented })
  // Its connection is silent for as long as nothing happens.
  const listener = postgres(url, { ...options, max: 1 })
  const teller = postgres(url, { ...options, max: 1, idle_timeout: 60, ...undocumented })
  const notices = gatherNotices(sendNotices(teller))
  return {
    db: withNotices(drizzle(client, { schema }), notices, deadlockTries),
    listen: async (channel, onNotice, onListening = () => {}) => {
      const { say, stop } = onceInAWhile(onListening)
      const { unlisten } = await listener.listen(channel, onNotice, say)
      return {
        unlisten: () => {
          stop()
          return unlisten()
        },
      }
    },
    close: async (seconds = 5) => {
      await client.end({ timeout: seconds })
      // What was still under way has told what it did.
      await notices.close(seconds * 1000)
      await Promise.all([listener, teller].map(one => one.end({ timeout: seconds })))
    },
  }
}

/** Resolves when the database answers. */
export const ping = async (db: Tx): Promise<void> => {
  await db.execute(sql`select 1`)
}
