import assert from 'node:assert/strict'
import { it } from 'node:test'
import { freshDatabase } from '../../test/kit/database.ts'
import { connect } from './connect.ts'
import { removeHost } from './hosts.ts'
import { migrate } from './migrate.ts'
import { toPending } from './room.ts'
import {
  claimOwner,
  findRuntimeById,
  loseRuntimesOfRemoved,
  startOn,
  toFailedStillHeld,
  toRunning,
  toStopped,
  toStopping,
} from './runtimes.ts'
import { findTenant, putTenant } from './tenants.ts'
import { addHost, wanted } from './testing.ts'

const lease = 60_000

it('runtimes of a removed host are lost, and one that waits for room elsewhere goes on waiting', async () => {
  const fresh = await freshDatabase()
  await migrate(fresh.url)
  const { db, close } = connect(fresh.url, { max: 2 })
  try {
    await putTenant(db, { slug: 'default', mode: 'docker-per-principal' })
    await addHost(db, 'h1', 3)
    const running = async (owner: string) => {
      const row = await startOn(db, (await claimOwner(db, wanted(owner), lease))?.row ?? assert.fail(), 'h1', lease)
      return (typeof row === 'object' && (await toRunning(db, row))) || assert.fail()
    }
    const stopped = async (owner: string) => {
      const stopping = await toStopping(db, await running(owner), lease, 'asked')
      return (stopping && (await toStopped(db, stopping))) ?? assert.fail()
    }
    const waits = (await toPending(db, await stopped('waits'), lease, lease)) ?? assert.fail()
    const held = await toFailedStillHeld(db, await running('held'), { code: 'x', detail: 'y' })
    const wakes = (held && (await toPending(db, held, lease, lease))) ?? assert.fail()
    const runs = await running('runs')
    await removeHost(db, 'h1', { force: true })

    // Twice, as the gateways do it once a minute.
    assert.equal(await loseRuntimesOfRemoved(db), 2)
    assert.equal(await loseRuntimesOfRemoved(db), 1)
    assert.equal(await loseRuntimesOfRemoved(db), 0)
    const states = async () =>
      Promise.all([waits, wakes, runs].map(async ({ id }) => (await findRuntimeById(db, id))?.state))
    // What it held on that host is given up first, and what is left of it there with it.
    assert.deepEqual(await states(), ['pending', 'lost', 'lost'])
    assert.equal((await findTenant(db, 'default'))?.usedMemoryBytes, 0)

    // A lost one that is started again is not lost once more while it waits.
    const lost = (await findRuntimeById(db, runs.id)) ?? assert.fail()
    assert(await toPending(db, lost, lease, lease))
    assert.equal(await loseRuntimesOfRemoved(db), 0)
    assert.deepEqual(await states(), ['pending', 'lost', 'pending'])
  } finally {
    await close()
    await fresh.drop()
  }
})
