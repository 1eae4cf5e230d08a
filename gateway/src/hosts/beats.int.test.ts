import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { connect, type Database, findHost, migrate, removeHost } from '@porthole/db'
import { addHost } from '@porthole/db/testing'
import { freshDatabase } from '../../../test/kit/database.ts'
import { gatherBeats, type Said } from './beats.ts'

const said: Said = {
  memoryBytes: 2 ** 40,
  cpuMillis: 64_000,
  slots: 50,
  gpus: 0,
  engineVersion: '27',
  images: ['an image'],
  labels: {},
  load: 1,
  diskFreeBytes: null,
}

describe('gathered heartbeats', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 10 })
  })
  after(async () => {
    await database.close()
    await fresh.drop()
  })
  beforeEach(async () => {
    await database.db.execute('truncate hosts cascade')
    for (const id of ['h1', 'h2']) await addHost(database.db, id, 10, { lastSeenAt: null })
  })

  const hostOf = async (id: string) => (await findHost(database.db, id)) ?? assert.fail()

  it('are done when they are written, and a host that says two things at once is left with the last', async () => {
    const { record } = gatherBeats(database.db)
    const beats = [record('h1', said), record('h2', { ...said, load: 3 }), record('h1', { ...said, load: 2 })]
    assert.deepEqual(await Promise.all(beats), [true, true, true])
    const [h1, h2] = [await hostOf('h1'), await hostOf('h2')]
    assert.deepEqual([h1.live, h1.load, h1.slots, h2.live, h2.load], [true, 2, 50, true, 3])
  })

  it('write what seldom changes when it has, and every half minute: another gateway may know better', async () => {
    const clock = { ms: 0 }
    const { record } = gatherBeats(database.db, () => clock.ms)
    const behindOurBack = () => database.db.execute(`update hosts set slots = 1 where id = 'h1'`)
    await record('h1', said)
    await behindOurBack()
    await record('h1', { ...said, load: 4, diskFreeBytes: 9 })
    const now = await hostOf('h1')
    assert.deepEqual([now.slots, now.load, now.diskFreeBytes], [1, 4, 9])
    await record('h1', { ...said, labels: { zone: 'a' } })
    assert.deepEqual([(await hostOf('h1')).slots, (await hostOf('h1')).labels], [50, { zone: 'a' }])
    await behindOurBack()
    clock.ms = 30_000
    await record('h1', { ...said, labels: { zone: 'a' } })
    assert.equal((await hostOf('h1')).slots, 50)
  })

  it('with more to tell than is worth remembering are told apart all the same', async () => {
    const { record } = gatherBeats(database.db)
    const images = Array.from({ length: 1000 }, (_, n) => `registry.example.com/image-${n}`)
    await record('h1', { ...said, images })
    await database.db.execute(`update hosts set slots = 1 where id = 'h1'`)
    await record('h1', { ...said, images })
    assert.equal((await hostOf('h1')).slots, 1)
    await record('h1', { ...said, images: [...images.slice(1), 'another'] })
    assert.deepEqual([(await hostOf('h1')).slots, (await hostOf('h1')).images.at(-1)], [50, 'another'])
  })

  it('of a removed host are told so, and of one that joined again written in full', async () => {
    const { record } = gatherBeats(database.db)
    assert.equal(await record('h1', said), true)
    await removeHost(database.db, 'h1', { force: true })
    assert.equal(await record('h1', said), false)
    assert.equal(await record('h9', said), false)
    await database.db.execute(`update hosts set removed_at = null, slots = 1 where id = 'h1'`)
    assert.equal(await record('h1', said), true)
    assert.equal((await hostOf('h1')).slots, 50)
  })

  it('of a host whose row somebody else has wait for it, and no other host waits with them', async () => {
    const { record } = gatherBeats(database.db)
    const held = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const holding = database.db.transaction(async tx => {
      await tx.execute(`select 1 from hosts where id = 'h1' for update`)
      held.resolve()
      await release.promise
    })
    await held.promise
    try {
      const behind = record('h1', said)
      assert.equal(await record('h2', said), true)
      assert.equal((await hostOf('h1')).lastSeenAt, null)
      release.resolve()
      assert.equal(await behind, true)
      assert.equal((await hostOf('h1')).live, true)
    } finally {
      release.resolve()
      await holding
    }
  })

  it('of a host that says what cannot be written fail, and no other host’s with them', async () => {
    const { record } = gatherBeats(database.db)
    const poisoned = record('h1', { ...said, labels: { zone: '\0' } })
    const good = record('h2', said)
    await assert.rejects(poisoned)
    assert.equal(await good, true)
    assert.deepEqual([(await hostOf('h1')).live, (await hostOf('h2')).live], [false, true])
  })

  it('that the database does not take fail, and are nobody’s word of being there', async () => {
    const away = connect('postgres://nobody@127.0.0.1:1/none', { max: 1 })
    try {
      await assert.rejects(gatherBeats(away.db).record('h1', said))
    } finally {
      await away.close(0)
    }
  })
})
