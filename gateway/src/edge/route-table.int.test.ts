import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  claimOwner,
  connect,
  type Database,
  migrate,
  putTenant,
  type RuntimeRow,
  startOn,
  toRunning,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { freshDatabase } from '../../../test/kit/database.ts'
import { eventually } from '../../../test/kit/eventually.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { type Changes, listenForChanges } from '../runtimes/changes.ts'
import { createRouteTable, type RouteTable } from './route-table.ts'

describe('the table of routes', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let lookout: Database
  let changes: Changes
  let routes: RouteTable
  let alice: RuntimeRow

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url)
    lookout = connect(fresh.url, { max: 2 })
    changes = await listenForChanges(database)
    routes = createRouteTable({ db: database.db, lookout: lookout.db, changes, log: testLog('routes') })
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    await addHost(database.db, 'h1', 10)
    const claimed = await claimOwner(database.db, wanted('alice'), 60_000)
    const started = claimed && (await startOn(database.db, claimed.row, 'h1', 60_000))
    assert(typeof started === 'object')
    alice = (await toRunning(database.db, started)) ?? assert.fail()
  })
  after(async () => {
    await routes.close()
    await changes.close()
    await Promise.all([database.close(), lookout.close()])
    await fresh.drop()
  })

  it('a route is kept although others move while it is read, and not when it has moved itself', async () => {
    const own = createRouteTable({ db: database.db, lookout: lookout.db, changes, log: testLog('routes') })
    try {
      const reading = own.runtime('default', alice.ownerHash)
      own.forget(alice.id)
      await reading
      assert.equal(own.knownRuntime('default', alice.ownerHash), undefined)
      // The notice of her start may still be on its way.
      await eventually(async () => {
        const another = own.runtime('default', alice.ownerHash)
        own.forget('rt_other')
        await another
        assert.equal(own.knownRuntime('default', alice.ownerHash)?.id, alice.id)
      })
    } finally {
      await own.close()
    }
  })

  it('a crowd that asks for the same runtime asks the database once, and a tenant’s askers do not fill it', async () => {
    const holder = connect(fresh.url, { max: 1 })
    const release = Promise.withResolvers<void>()
    const locked = Promise.withResolvers<void>()
    const holding = holder.db.transaction(async tx => {
      await tx.execute('lock table runtimes in access exclusive mode')
      locked.resolve()
      await release.promise
    })
    await locked.promise
    const wide = connect(fresh.url, { max: 20 })
    const own = createRouteTable({ db: wide.db, lookout: lookout.db, changes, log: testLog('routes') })
    const waiting = async () => {
      const rows = await database.db.execute<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
           and query like '%owner_hash%'`,
      )
      return rows[0]?.n
    }
    try {
      const crowd = Array.from({ length: 100 }, () => own.runtime('default', '0'.repeat(16)))
      const others = Array.from({ length: 30 }, (_, n) => own.runtime('default', n.toString(16).padStart(16, '1')))
      await eventually(async () => assert.equal(await waiting(), 8))
      release.resolve()
      for (const row of await Promise.all([...crowd, ...others])) assert.equal(row, undefined)
    } finally {
      release.resolve()
      await holding
      await own.close()
      await Promise.all([holder.close(), wide.close()])
    }
  })

  it('a row that somebody has locked holds up the note of its use, and nothing else', async () => {
    assert.equal((await routes.runtime('default', alice.ownerHash))?.id, alice.id)
    const holder = connect(fresh.url, { max: 1 })
    const release = Promise.withResolvers<void>()
    const locked = Promise.withResolvers<void>()
    const holding = holder.db.transaction(async tx => {
      await tx.execute(`select id from runtimes where id = '${alice.id}' for update`)
      locked.resolve()
      await release.promise
    })
    await locked.promise
    routes.touch(alice.id)
    const deadline = performance.now() + 5000
    while (performance.now() < deadline) {
      assert.equal(routes.isAway(), false)
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    release.resolve()
    await holding
    await holder.close()
    await eventually(async () => {
      const row = await database.db.query.runtimes.findFirst()
      assert(row && row.lastUsedAt > alice.lastUsedAt)
    })
  })

  it('a host that was live when the database went away is so until it has had time to report again', async () => {
    const clock = { ms: 0 }
    let isDown = false
    const unsteady = new Proxy(lookout.db, {
      get: (db, name) => {
        if (isDown) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' })
        return Reflect.get(db, name)
      },
    })
    const own = createRouteTable({
      ...{ db: unsteady, lookout: unsteady, changes, log: testLog('routes') },
      now: () => clock.ms,
    })
    const isAway = (is: boolean) => eventually(() => assert.equal(own.isAway(), is))
    const isLive = async () => (await own.host('h1'))?.live
    try {
      assert.equal(await isLive(), true)
      isDown = true
      await isAway(true)
      // Nobody could report meanwhile: all look silent at first.
      await database.db.execute(`update hosts set last_seen_at = now() - interval '70 s', slots = 9 where id = 'h1'`)
      clock.ms += 70_000
      isDown = false
      await isAway(false)
      const host = (await own.host('h1')) ?? assert.fail()
      assert.deepEqual([host.slots, host.live, host.lost], [9, true, false])
      clock.ms += 10_001
      await eventually(async () => assert.equal(await isLive(), false))
    } finally {
      await own.close()
      await database.db.execute(`update hosts set last_seen_at = now() where id = 'h1'`)
    }
  })

  it('a question to a database that does not answer is not waited for without end, before anybody knows', async () => {
    const holder = connect(fresh.url, { max: 1 })
    const release = Promise.withResolvers<void>()
    const locked = Promise.withResolvers<void>()
    const holding = holder.db.transaction(async tx => {
      await tx.execute('lock table runtimes, hosts in access exclusive mode')
      locked.resolve()
      await release.promise
    })
    await locked.promise
    try {
      assert.equal(routes.isAway(), false)
      const askedAt = performance.now()
      const isSlow = { code: 'CONNECT_TIMEOUT' }
      await Promise.all([
        assert.rejects(routes.runtime('default', '0'.repeat(16)), isSlow),
        assert.rejects(routes.host('unknown'), isSlow),
      ])
      assert(performance.now() - askedAt < 8000)
    } finally {
      release.resolve()
      await holding
      await holder.close()
    }
    await eventually(() => assert.equal(routes.isAway(), false), 5000)
  })

  it('a thousand known hosts are looked at together', async () => {
    for (let n = 0; n < 1000; n++) await addHost(database.db, `many-${n}`, 1)
    for (let n = 0; n < 1000; n++) await routes.host(`many-${n}`)
    await database.db.execute(`update hosts set url = 'http://127.0.0.1:2' where id = 'many-999'`)
    await eventually(async () => assert.equal((await routes.host('many-999'))?.url, 'http://127.0.0.1:2'), 3000)
    assert.equal(routes.isAway(), false)
  })
})
