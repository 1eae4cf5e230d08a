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
 * Connects lazily, with at most `max` connections (default 10). A statement is cancelled by the server after 15 s, so no
 * wait on a lock is endless.
 *
 * @param url `postgres://user:password@host:port/database`
 */
export const connect = (url: string, { max = 10 }: { max?: number } = {}): Database => {
  const client = postgres(url, {
    max,
    connect_timeout: 5,
    idle_timeout: 60,
    connection: {
      application_name: 'porthole',
      statement_timeout: 15_000,
      idle_in_transaction_session_timeout: 15_000,
    },
    // Notices ("relation exists, skipping") are chatter of migrations.
    onnotice: () => {},
  })
  return {
    db: drizzle(client, { schema }),
    listen: (channel, onNotice, onListening) => client.listen(channel, onNotice, onListening),
    close: (seconds = 5) => client.end({ timeout: seconds }),
  }
}

/** Resolves when the database answers. */
export const ping = async (db: Tx): Promise<void> => {
  await db.execute(sql`select 1`)
}
