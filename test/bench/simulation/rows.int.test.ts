import assert from 'node:assert/strict'
import { it } from 'node:test'
import { migrate } from '@porthole/db'
import postgres from 'postgres'
import { freshDatabase } from '../../kit/database.ts'
import { hostIdOf } from './fleet.ts'
import { bookErrors, forgetPlaced, seedHosts, seedRuntimes, seedTenants } from './rows.ts'

it('books that were seeded are right, and every way in which they may be wrong is told', async () => {
  const fresh = await freshDatabase()
  const sql = postgres(fresh.url, { max: 1, onnotice: () => {} })
  try {
    await migrate(fresh.url)
    await seedTenants(sql, 2)
    await seedHosts(sql, 3)
    await seedRuntimes(sql, { count: 12, running: 9, hosts: 3, tenants: 2 })
    assert.deepEqual(await bookErrors(sql), [])
    const [told] = await sql`select count(*)::int n, count(*) filter (where reserved)::int held from runtimes`
    assert.deepEqual({ ...told }, { n: 12, held: 9 })

    const wrongs: [string, RegExp][] = [
      [`update hosts set slots = 2 where id = '${hostIdOf(1)}'`, /sim000001 holds more than it has/],
      [`update hosts set memory_bytes = 1 where id = '${hostIdOf(2)}'`, /sim000002 holds more than it has/],
      [`update hosts set reserved_slots = 4 where id = '${hostIdOf(0)}'`, /sim000000 counts as reserved/],
      [
        `update runtimes set reserved = false, counted = false where owner = 'seeded-0'`,
        /sim000000 counts as reserved/,
      ],
      [`update tenants set used_runtimes = 3 where slug = 't0'`, /t0 counts as used/],
    ]
    for (const [wrong, told] of wrongs) {
      await sql
        .begin(async tx => {
          await tx.unsafe(wrong)
          assert.match((await bookErrors(tx)).join('; '), told)
          throw new Error('undo')
        })
        .catch(error => assert.equal(error.message, 'undo'))
    }

    await sql`update runtimes set owner = 'placed' where owner = 'seeded-0'`
    await forgetPlaced(sql)
    assert.deepEqual(await bookErrors(sql), [])
    const [left] = await sql`select count(*)::int n from runtimes`
    assert.equal(left?.n, 11)
  } finally {
    await sql.end()
    await fresh.drop()
  }
})
