import assert from 'node:assert/strict'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect, ping } from './connect.ts'

/** A port of this machine at which nobody listens. */
const deadPort = async (): Promise<number> => {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

test('a database that is away is told of again and again, however often it is asked for', async t => {
  const database = connect(`postgres://porthole@127.0.0.1:${await deadPort()}/porthole`, { max: 2 })
  t.after(() => database.close(0))
  for (let n = 0; n < 6; n += 1) {
    const late = AbortSignal.timeout(5000)
    const asked = Promise.race([
      ping(database.db),
      once(late, 'abort').then(() => assert.fail(`the ${n}th never ended`)),
    ])
    await assert.rejects(asked, error => error instanceof Error && /ECONNREFUSED/.test(JSON.stringify(error.cause)))
  }
})

/** A Postgres as far as its greeting goes: it lets everybody in, and ends each connection at the first thing it is asked. */
const hangsUp = async () => {
  const letIn = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49])
  const server = net.createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(letIn)
      socket.once('data', () => socket.destroy())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() }
}

test('a connection that ends right after its greeting fails what was asked, and nothing else', async t => {
  const { port, close } = await hangsUp()
  t.after(close)
  const database = connect(`postgres://porthole@127.0.0.1:${port}/porthole`, { max: 2 })
  t.after(() => database.close(0))
  // What is rejected without anybody who hears it fails this test.
  for (let n = 0; n < 4; n += 1) await assert.rejects(ping(database.db))
})
