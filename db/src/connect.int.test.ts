import assert from 'node:assert/strict'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { it } from 'node:test'
import { sql } from 'drizzle-orm'
import { freshDatabase } from '../../test/kit/database.ts'
import { eventually } from '../../test/kit/eventually.ts'
import { connect, ping, type Tx } from './connect.ts'

/** Passes bytes on to the server of `url` until it is told to swallow them. */
const swallowingProxy = async ({ port, hostname }: { port: string; hostname: string }) => {
  const sockets = new Set<net.Socket>()
  const server = net.createServer(client => {
    const upstream = net.connect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    client.pipe(upstream).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    swallow: () => {
      for (const socket of sockets) socket.unpipe().pause()
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

it('a query to a database that has gone silent ends, and the next one finds a new connection', async () => {
  const fresh = await freshDatabase()
  const url = new URL(fresh.url)
  const proxy = await swallowingProxy(url)
  url.port = String(proxy.port)
  const database = connect(url.href, { max: 1, silenceMs: 1000 })
  try {
    await ping(database.db)
    proxy.swallow()
    await assert.rejects(ping(database.db), (error: unknown) => {
      assert(error instanceof Error && error.cause instanceof Error)
      assert.match(String((error.cause as NodeJS.ErrnoException).code), /^CONNECTION_/)
      return true
    })
    await ping(database.db)
  } finally {
    proxy.close()
    await database.close(1)
    await fresh.drop()
  }
})

it('of two transactions that wait for each other both are done, once each', async () => {
  const fresh = await freshDatabase()
  const database = connect(fresh.url, { max: 4 })
  const { db } = database
  try {
    await db.execute('create table counters (id int primary key, n int not null)')
    await db.execute('insert into counters values (1, 0), (2, 0)')
    const add = (tx: Tx, id: number) => tx.execute(sql`update counters set n = n + 1 where id = ${id}`)
    const met = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let attempts = 0
    const both = (first: number, second: number) =>
      db.transaction(async tx => {
        attempts += 1
        await add(tx, first)
        met[first - 1]?.resolve()
        await Promise.all(met.map(({ promise }) => promise))
        await add(tx, second)
      })
    await Promise.all([both(1, 2), both(2, 1)])
    assert.deepEqual([...(await db.execute('select n from counters order by id'))], [{ n: 2 }, { n: 2 }])
    assert.equal(attempts, 3)
  } finally {
    await database.close()
    await fresh.drop()
  }
})

it('a transaction whose connection ends in the middle fails, and nothing else does', async () => {
  const fresh = await freshDatabase()
  const database = connect(fresh.url, { max: 4 })
  try {
    for (let round = 0; round < 20; round += 1) {
      const cut = Array.from({ length: 4 }, () =>
        database.db.transaction(async tx => {
          await tx.execute('select 1')
          await tx.execute('select pg_terminate_backend(pg_backend_pid())')
        }),
      )
      for (const { status } of await Promise.allSettled(cut)) assert.equal(status, 'rejected')
    }
    // The next may be given one that has just ended.
    await eventually(() => ping(database.db))
  } finally {
    await database.close(1)
    await fresh.drop()
  }
})
