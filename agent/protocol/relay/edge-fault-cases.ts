import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo, type Server } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type OpenFront, visit } from './front.ts'
import { RawUpstream, within } from './relay-kit.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const nowhere = 'http://127.0.0.1:9'

const originOf = async (t: TestContext, server: Server): Promise<string> => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Where proxies go wrong in HTTP: what dies. */
export function edgeFaultCases(open: OpenFront): void {
  for (const [what, partial] of [
    ['Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'],
    ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
  ] as const)
    for (const [how, die] of [
      ['FIN', (socket: net.Socket) => socket.end()],
      ['reset', (socket: net.Socket) => socket.resetAndDestroy()],
    ] as const)
      test(`an upstream that dies with a ${how} in the middle of a ${what} body ends the client's connection visibly`, async t => {
        const upstream = await RawUpstream.start(t)
        const client = (await visit(t, await open(t, upstream.origin))).ask('GET', '/')
        const there = (await upstream.request()).send(partial)
        await client.until('half')
        die(there.socket)
        assert.doesNotMatch(await client.untilOver(), /\r\n0\r\n/)
      })

  for (const [when, ask, answer] of [
    ['while it waits', ['GET', '/'], ''],
    ['in the middle of an answer', ['GET', '/'], 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'],
    ['in the middle of an upload', ['POST', '/', 'Content-Length: 100'], ''],
  ] as const)
    test(`a client that goes away ${when} ends the upstream request`, async t => {
      const upstream = await RawUpstream.start(t)
      const [method, path, ...headers] = ask
      const client = (await visit(t, await open(t, upstream.origin))).ask(method, path, ...headers)
      if (method === 'POST') client.send('half')
      const there = await upstream.request()
      if (answer !== '') {
        there.send(answer)
        await client.until('half')
      }
      client.socket.destroy()
      await there.untilOver()
    })

  test('thousands of aborts leave the pool whole and the process alive', async t => {
    const server = http.createServer((req, res) => {
      if (req.url === '/ok') return res.end('fine')
      res.writeHead(200, { 'Content-Length': 1_000_000 })
      return res.write('x'.repeat(10_000))
    })
    t.after(() => server.closeAllConnections())
    const front = await open(t, await originOf(t, server))
    for (let round = 0; round < 50; round += 1) {
      const clients = await Promise.all(Array.from({ length: 40 }, () => visit(t, front)))
      for (const [n, client] of clients.entries()) {
        client.ask('GET', '/abort')
        if (n % 2 === 0) client.socket.once('data', () => client.socket.resetAndDestroy())
        else setImmediate(() => client.socket.destroy())
      }
      await Promise.all(clients.map(client => within(client.closed, 'an abort')))
    }
    const after = (await visit(t, front)).ask('GET', '/ok')
    await after.until('fine')
    // What was aborted is let go of by the hop at the upstream after its own client has.
    const left = async () => await new Promise<number>(done => server.getConnections((_, count) => done(count)))
    const deadline = performance.now() + 20_000
    while ((await left()) > 2 && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, 50))
    assert((await left()) <= 2, `${await left()} connections to the upstream are left`)
  })

  test('an upstream that closes an idle kept-alive connection at the moment it is reused fails none of 960 safe requests', async t => {
    const server = net.createServer(socket => {
      let served = 0
      socket.on('error', () => {})
      socket.on('data', () => {
        if (served > 0) return socket.resetAndDestroy()
        served += 1
        socket.write(ok)
        if (Math.random() < 0.5) setTimeout(() => socket.end(), Math.random() * 3)
        return undefined
      })
    })
    const front = await open(t, await originOf(t, server))
    const statuses = new Map<string, number>()
    const worker = async () => {
      const client = await visit(t, front)
      for (let n = 0; n < 60; n += 1) {
        client.forget()
        client.ask('GET', `/${n}`)
        const status = (await client.until('\r\n\r\n')).slice(9, 12)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        if (status === '200') await client.until('ok')
        await new Promise(resolve => setTimeout(resolve, Math.random() * 3))
      }
    }
    await Promise.all(Array.from({ length: 16 }, worker))
    assert.deepEqual([...statuses], [['200', 960]])
  })

  test('an upstream that is down is a 502 for HTTP and for an upgrade alike', async t => {
    const front = await open(t, nowhere)
    const request = (await visit(t, front)).ask('GET', '/')
    assert.match(await request.until('application/problem+json'), /^HTTP\/1\.1 502 /)
    const socket = (await visit(t, front)).upgrade()
    assert.match(await socket.untilOver(), /^HTTP\/1\.1 502 .*application\/problem\+json/s)
  })
}
