import assert from 'node:assert/strict'
import { it } from 'node:test'
import postgres from 'postgres'
import { freshDatabase } from '../../test/kit/database.ts'
import { MigrationLocked, migrate } from './migrate.ts'

/** A database in which another gateway migrates, until it is told to be done. */
const migratedBySomebody = async () => {
  const fresh = await freshDatabase()
  const other = postgres(fresh.url, { max: 1, onnotice: () => {} })
  await other`select pg_advisory_lock(76784653)`
  const close = async () => {
    await other.end({ timeout: 1 })
    await fresh.drop()
  }
  return { url: fresh.url, other, close }
}

/** Resolves once somebody waits for an advisory lock in that database. */
const someoneWaits = async (other: postgres.Sql) => {
  const deadline = performance.now() + 10_000
  const isWaiting = () =>
    other`select 1 from pg_locks where locktype = 'advisory' and not granted
      and database = (select oid from pg_database where datname = current_database())`
  while ((await isWaiting()).length === 0) assert(performance.now() < deadline, 'nobody waits')
}

it('a gateway that starts while another one migrates waits for it', async () => {
  const { url, other, close } = await migratedBySomebody()
  try {
    const migrated = migrate(url)
    await someoneWaits(other)
    assert.equal((await other`select to_regclass('runtimes') as is`)[0]?.is, null)
    await other`select pg_advisory_unlock(76784653)`
    await migrated
    assert.notEqual((await other`select to_regclass('runtimes') as is`)[0]?.is, null)
  } finally {
    await close()
  }
})

it('a gateway that starts while another one hangs in a migration gives up, says why, and leaves no lock', async () => {
  const { url, other, close } = await migratedBySomebody()
  // Whoever waits for longer gets the lock, and has waited too long.
  const patience = setTimeout(() => other`select pg_advisory_unlock_all()`.catch(() => {}), 10_000)
  try {
    await assert.rejects(migrate(url, { lockMs: 300 }), (error: unknown) => {
      assert(error instanceof MigrationLocked)
      assert.match(error.message, /held a lock in it for 0.3 s.*pg_locks.*start again/)
      assert.doesNotMatch(error.message, new RegExp(new URL(url).password))
      return true
    })
    await other`select pg_advisory_unlock(76784653)`
    await migrate(url, { lockMs: 300 })
  } finally {
    clearTimeout(patience)
    await close()
  }
})

it('a failure of any other kind is told as it is', async () => {
  const { url, close } = await migratedBySomebody()
  await close()
  await assert.rejects(migrate(url), (error: unknown) => !(error instanceof MigrationLocked))
})
