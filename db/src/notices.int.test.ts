import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { freshDatabase } from '../../test/kit/database.ts'
import { connect, type Database } from './connect.ts'
import { migrate } from './migrate.ts'
import { roomChannel, runtimeChannel } from './notices.ts'
import { standInLine } from './room.ts'
import { claimOwner } from './runtimes.ts'
import { announceRoom, putTenant } from './tenants.ts'
import { wanted } from './testing.ts'

describe('notices in Postgres', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let heard: string[]
  let wake = () => {}

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 4 })
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    for (const channel of [runtimeChannel, roomChannel])
      await database.listen(channel, payload => {
        heard.push(payload)
        wake()
      })
  })
  after(async () => {
    await database.close()
    await fresh.drop()
  })
  beforeEach(() => {
    heard = []
  })
  /** All that is heard up to a word that is said last. */
  const upTo = async (word: string): Promise<string[]> => {
    database.db.notices.tell(runtimeChannel, word)
    const deadline = AbortSignal.timeout(5000)
    while (!heard.includes(word)) {
      const next = Promise.withResolvers<void>()
      wake = next.resolve
      deadline.throwIfAborted()
      deadline.addEventListener('abort', next.reject, { once: true })
      await next.promise
    }
    return heard.filter(one => one !== word)
  }

  it('are of what was committed: nothing that was undone is told', async () => {
    const { db } = database
    await assert.rejects(
      db.transaction(async tx => {
        tx.notices.tell(runtimeChannel, 'undone')
        throw new Error('undo it')
      }),
    )
    await db.transaction(async tx => {
      tx.notices.tell(runtimeChannel, 'outer')
      await tx.transaction(async inner => inner.notices.tell(runtimeChannel, 'inner'))
      await assert.rejects(
        tx.transaction(async inner => {
          inner.notices.tell(runtimeChannel, 'inner undone')
          throw new Error('undo it')
        }),
      )
    })
    assert.deepEqual(await upTo('end'), ['outer', 'inner'])
  })

  it('come after the commit: who hears one finds the row', async () => {
    const { db } = database
    const open = Promise.withResolvers<void>()
    const written = db.transaction(async tx => {
      tx.notices.tell(runtimeChannel, 'written')
      await open.promise
    })
    assert.deepEqual(await upTo('meanwhile'), [])
    open.resolve()
    await written
    assert.deepEqual((await upTo('end')).slice(-1), ['written'])
  })

  it('of room are sent only where somebody of that tenant waits for some', async () => {
    const { db } = database
    announceRoom(db, 'default')
    announceRoom(db)
    assert.deepEqual(await upTo('nobody waits'), [])
    const claimed = await claimOwner(db, wanted('alice'), 60_000)
    await standInLine(db, claimed?.row ?? assert.fail(), 'quota')
    announceRoom(db, 'other')
    announceRoom(db, 'default')
    announceRoom(db)
    const told = await upTo('end')
    assert.deepEqual(
      told.filter(payload => !payload.startsWith('rt_') && payload !== 'nobody waits'),
      ['default', '*'],
    )
  })
})
