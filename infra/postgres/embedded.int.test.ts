import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import postgres from 'postgres'
import { identify } from '../dev/process-identity.ts'
import { startPostgres, stopLeftoverPostgres } from './embedded.ts'

const dir = mkdtempSync(join(tmpdir(), 'porthole-pg-'))
const second = mkdtempSync(join(tmpdir(), 'porthole-pg-'))
after(async () => {
  await Promise.all([stopLeftoverPostgres(dir), stopLeftoverPostgres(second)])
  for (const folder of [dir, second]) rmSync(folder, { recursive: true, force: true })
})

async function ask<T>(url: string, question: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return await question(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** Starts Postgres from another process, which can then be killed. */
async function startElsewhere() {
  const parent = fork(join(import.meta.dirname, 'testing/parent.ts'), [dir], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const [message] = (await once(parent, 'message', { signal: AbortSignal.timeout(60_000) })) as [
    { url: string; pid: number },
  ]
  return { parent, ...message }
}

describe('the embedded Postgres', () => {
  it('starts, keeps its data over a restart, and asks for its password', async () => {
    const first = await startPostgres({ dir })
    await ask(first.url, sql => sql`create table kept as select 42 as answer`)
    await first.stop()
    await first.ended
    assert.equal(identify(first.pid), undefined)

    const again = await startPostgres({ dir })
    assert.deepEqual([...(await ask(again.url, sql => sql`select answer from kept`))], [{ answer: 42 }])
    const settings = await ask(again.url, async sql => {
      const [row] =
        await sql`select current_setting('listen_addresses') as listen, current_setting('max_connections') as most,
        current_setting('fsync') as fsync, current_setting('unix_socket_directories') as sockets`
      return row
    })
    assert.deepEqual(settings, { listen: '127.0.0.1', most: '200', fsync: 'on', sockets: '' })
    const guess = new URL(again.url)
    guess.password = 'guess'
    await assert.rejects(
      ask(guess.href, sql => sql`select 1`),
      /password authentication failed/,
    )
    assert.equal(statSync(join(dir, 'cluster/password')).mode & 0o777, 0o600)
    await again.stop()
    await again.stop()
  })

  it('left running by a parent that was killed is ended, and starts again with its data', async () => {
    const { parent, pid, url } = await startElsewhere()
    await ask(url, sql => sql`create table survived as select 1 as x`)
    await assert.rejects(startPostgres({ dir }), /is in use by process/)
    const gone = once(parent, 'exit')
    parent.kill('SIGKILL')
    await gone
    assert.ok(identify(pid), 'Postgres outlives its parent')

    const again = await startPostgres({ dir })
    assert.equal(identify(pid), undefined)
    assert.deepEqual([...(await ask(again.url, sql => sql`select x from survived`))], [{ x: 1 }])
    await again.stop()
  })

  it('that nobody waits for any more is not left behind', async () => {
    for (const afterMs of [0, 10, 40]) {
      const signal = AbortSignal.timeout(afterMs)
      const started = await startPostgres({ dir, signal }).catch(error => assert.equal(error, signal.reason))
      await started?.stop()
      assert.equal(await stopLeftoverPostgres(dir), false)
    }
  })

  it('killed outright recovers what was committed', async () => {
    const first = await startPostgres({ dir })
    await ask(first.url, sql => sql`create table committed as select 7 as x`)
    process.kill(first.pid, 'SIGKILL')
    assert.deepEqual(await first.ended, { code: null, signal: 'SIGKILL' })
    const again = await startPostgres({ dir })
    assert.deepEqual([...(await ask(again.url, sql => sql`select x from committed`))], [{ x: 7 }])
    await again.stop()
  })

  it('runs twice side by side, and without fsync where that is asked for', async () => {
    const both = await Promise.all([startPostgres({ dir, fsync: false }), startPostgres({ dir: second, fsync: false })])
    assert.notEqual(both[0].port, both[1].port)
    const [row] = await ask(both[1].url, sql => sql`select current_setting('fsync') as fsync`)
    assert.equal(row?.fsync, 'off')
    await assert.rejects(startPostgres({ dir: mkdtempSync(join(second, 'x')), port: both[0].port }), /is taken/)
    await Promise.all(both.map(one => one.stop()))
  })
})
