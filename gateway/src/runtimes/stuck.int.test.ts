import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import {
  connect,
  type Database,
  findHost,
  findRuntimeById,
  migrate,
  putTenant,
  type RuntimeRow,
  updateTenant,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { freshDatabase } from '../../../test/kit/database.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { AgentUnreachable } from '../agents/client.ts'
import { Problem } from '../problem.ts'
import { type Changes, listenForChanges } from './changes.ts'
import { leaseMs } from './driver.ts'
import { openRoom, type Room } from './room.ts'
import { codeOf, fakeHost, refusal, type TestGateway, testGateway } from './testing.ts'

const log = testLog('stuck')

describe('a runtime whose host cannot do what is asked', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let changes: Changes
  let room: Room
  let host: ReturnType<typeof fakeHost>
  let gateway: TestGateway

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 10 })
    changes = await listenForChanges(database)
    room = await openRoom({ database, leaseMs, carryOut: row => gateway.driver.take(row) })
  })
  after(async () => {
    await Promise.all([changes.close(), room.close()])
    await database.close()
    await fresh.drop()
  })
  beforeEach(async () => {
    await database.db.execute(
      'truncate runtimes, profiles, hosts, events, tenants, volume_removals restart identity cascade',
    )
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    await addHost(database.db, 'h1', 10)
    host = fakeHost()
    gateway = testGateway({ database, changes, room: () => room, host, log })
  })
  afterEach(() => gateway.driver.close(1000))

  const running = async (owner = 'alice') => (await gateway.ensure(wanted(owner), 5000)).row
  const rowOf = async ({ id }: RuntimeRow) => (await findRuntimeById(database.db, id)) ?? assert.fail()
  const reached = async ({ id }: RuntimeRow, done: (row: RuntimeRow) => boolean) =>
    (await changes.until(id, done, 10_000)) ?? assert.fail('it did not get there in 10 s')
  /** As if it had been tried that often. */
  const tried = (times: number) =>
    database.db.execute(`update runtimes set work_tries = ${times}, work_until = now() where work_until is not null`)
  const cannot = async () => {
    throw refusal('engine-refused', { detail: 'no such process' })
  }
  const held = async () => (await findHost(database.db, 'h1'))?.reservedSlots

  it('stop it: has failed after a minute, says why, and keeps its room until the host has let go', async () => {
    const row = await running()
    host.script.stop = cannot
    assert.equal((await gateway.stop(row, 300)).state, 'stopping')
    await tried(2)
    assert.equal((await gateway.stop(await rowOf(row), 1500)).state, 'stopping')
    await tried(9)
    const failed = await reached(row, now => now.state === 'failed')
    assert.match(failed.error?.detail ?? '', /cannot be stopped: no such process/)
    assert.deepEqual([failed.reserved, await held()], [true, 1])
    host.script.stop = async () => {}
    await tried(0)
    await reached(row, now => !now.reserved)
    assert.equal(await held(), 0)
  })

  it('stop it because it is away: goes on stopping, until it is back or lost', async () => {
    const row = await running()
    host.script.stop = async () => {
      throw new AgentUnreachable('away')
    }
    await gateway.stop(row, 300)
    await database.db.execute(`update hosts set last_seen_at = now() - interval '30 s'`)
    await tried(20)
    assert.equal((await gateway.stop(await rowOf(row), 1500)).state, 'stopping')
    host.script.stop = async () => {}
    await tried(20)
    await reached(row, now => now.state === 'stopped')
  })

  it('freeze it: goes on', async () => {
    const row = await running()
    host.script.turn = to => (to === 'paused' ? cannot() : Promise.resolve())
    await assert.rejects(gateway.pause(row, 300), codeOf('host-unreachable'))
    await tried(9)
    await reached(row, now => now.state === 'running' && now.workUntil === null)
    assert.equal(host.containers.get(row.id)?.state, 'running')
  })

  it('freeze it, and may not run on: stops', async () => {
    await updateTenant(database.db, 'default', { maxRuntimes: 1 })
    const row = await running()
    host.script.turn = cannot
    await assert.rejects(gateway.pause(row, 300), codeOf('host-unreachable'))
    await running('bob')
    await tried(9)
    await reached(row, now => now.state === 'stopped')
    assert.equal(await held(), 1)
  })

  it('let it go on: has failed, and nothing is held', async () => {
    const row = await running()
    await gateway.pause(row, 5000)
    host.script.turn = cannot
    await assert.rejects(gateway.resume(await rowOf(row), 300), codeOf('host-unreachable'))
    await tried(9)
    const failed = await reached(row, now => now.state === 'failed' && !now.reserved)
    assert.match(failed.error?.detail ?? '', /cannot be resumed/)
    assert.equal(await held(), 0)
  })

  it('be told what to start: has failed, and nothing is held', async () => {
    await gateway.driver.close(1000)
    const commandFor = async () => {
      throw new Problem('spec-not-found', { detail: 'there is no spec "old"' })
    }
    gateway = testGateway({ database, changes, room: () => room, host, log, commandFor })
    await assert.rejects(gateway.ensure(wanted('alice'), 5000), codeOf('spec-not-found'))
    const [row] = await database.db.query.runtimes.findMany()
    await reached(row ?? assert.fail(), now => now.state === 'failed' && !now.reserved)
    assert.equal(await held(), 0)
  })

  it('delete it: is being deleted for as long as that takes, keeps its room, and is deleted in the end', async () => {
    const row = await running()
    host.script.remove = cannot
    assert.equal((await gateway.remove(row, true, 300)).state, 'deleting')
    await tried(30)
    assert.equal((await gateway.remove(row, true, 1500)).state, 'deleting')
    assert.equal(await held(), 1)
    host.script.remove = async () => {}
    await tried(30)
    await reached(row, now => now.state === 'deleted')
    assert.equal(await held(), 0)
  })
})
