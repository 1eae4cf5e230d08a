import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { freshDatabase } from '../../test/kit/database.ts'
import { connect, type Database } from './connect.ts'
import { functions } from './functions.ts'
import { migrate } from './migrate.ts'
import { claimOwner, startOn, toDeleted, toDeleting, toRunning } from './runtimes.ts'
import { putTenant } from './tenants.ts'
import { addHost, wanted } from './testing.ts'

const lease = 60_000

describe('what the database keeps for gateways', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    // One connection, which has kept every statement by the second time.
    database = connect(fresh.url, { max: 1 })
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    await addHost(database.db, 'h1', 10)
  })
  after(async () => {
    await database.close()
    await fresh.drop()
  })

  const live = async () => {
    const { db } = database
    const claimed = await claimOwner(db, wanted('alice'), lease)
    const started = await startOn(db, claimed?.row ?? assert.fail(), 'h1', lease)
    assert(typeof started === 'object')
    const running = (await toRunning(db, started)) ?? assert.fail()
    const deleting = (await toDeleting(db, running, true, lease)) ?? assert.fail()
    return (await toDeleted(db, deleting)) ?? assert.fail()
  }

  it('statements go on when a newer gateway adds a column, within transactions too', async () => {
    await live()
    await live()
    await database.db.execute(`alter table runtimes add column newer text not null default 'x'`)
    const row = await live()
    assert.equal(row.state, 'deleted')
    assert.equal('newer' in row, false)
  })

  it('functions are added once, and those of other versions are left alone', async () => {
    const { db } = database
    const count = async () => (await db.execute(`select from pg_proc where proname like 'porthole\\_%'`)).length
    const before = await count()
    assert.equal(before, Object.keys(functions).length)
    await db.execute('create function porthole_start_older() returns int language sql as $$ select 1 $$')
    await migrate(fresh.url)
    assert.equal(await count(), before + 1)
  })
})
