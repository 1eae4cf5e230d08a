import { fileURLToPath } from 'node:url'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'
import { addFunctions } from './functions.ts'

/** Any number, as long as every gateway uses the same one ("porthole" in a phone's keypad, cut to a bigint). */
const migrationLock = 76784653
/** Milliseconds another gateway's migration may take. */
const lockTimeoutMs = 120_000

/** Another session has held the lock for as long as anybody waits for it. */
export class MigrationLocked extends Error {
  override name = 'MigrationLocked'
}

/** Postgres's code for a lock that was not to be had within `lock_timeout`. */
const lockNotAvailable = '55P03'

const isLocked = (error: unknown): boolean =>
  error instanceof Error && (('code' in error && error.code === lockNotAvailable) || isLocked(error.cause))

/**
 * Brings the database up to the newest migration. Gateways that start at the same time wait for each other under an
 * advisory lock; the ones that come later find nothing to do.
 *
 * @param lockMs milliseconds that any lock is waited for
 * @throws MigrationLocked; and when Postgres is out of reach or a migration fails (it is rolled back whole).
 */
export const migrate = async (url: string, { lockMs = lockTimeoutMs } = {}): Promise<void> => {
  // A session-level lock needs a connection of its own; max 1 keeps lock and migration on the same one.
  const client = postgres(url, {
    max: 1,
    connect_timeout: 10,
    // As in connect.ts.
    fetch_types: false,
    // One that hangs while it holds the lock must not hold up every other start for ever.
    connection: { lock_timeout: lockMs },
    onnotice: () => {},
  })
  try {
    await client`select pg_advisory_lock(${migrationLock})`
    await applyMigrations(drizzle(client), {
      migrationsFolder: fileURLToPath(new URL('../migrations', import.meta.url)),
    })
    await addFunctions(client)
  } catch (cause) {
    if (!isLocked(cause)) throw cause
    throw new MigrationLocked(
      `The database is not migrated: another session has held a lock in it for ${lockMs / 1000} s. See which one in pg_locks (an advisory lock, ${migrationLock}, is a gateway's that migrates), end it, and start again.`,
      { cause },
    )
  } finally {
    await client.end({ timeout: 5 })
  }
}
