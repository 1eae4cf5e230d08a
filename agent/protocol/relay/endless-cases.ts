import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import {
  type Chain,
  fillUntilStalled,
  get,
  RawUpstream,
  slack,
  startChain,
  switching,
  upgrade,
  within,
} from './relay-kit.ts'

const megabyte = 1024 * 1024
const aSecond = 1_000 * slack
const post = (length: number): string => `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`
const streamed = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'

/** Sends `text` every few milliseconds until the connection is closed. */
const drip = (socket: Socket, text: string): void => {
  const timer = setInterval(() => socket.write(text), 10)
  socket.once('close', () => clearInterval(timer))
}

/** What has no end, and what ends while somebody is not reading, for `hops` relays in a row. */
export function endlessCases(hops: number): void {
  const started = async (
    t: Parameters<typeof startChain>[0],
    options: Partial<Parameters<typeof startChain>[2]> = {},
  ) => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin, ...options })
    return { upstream, chain, client: await chain.connect() }
  }
  const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  const isWell = async (chain: Chain, upstream: RawUpstream) => {
    const client = (await chain.connect()).send(get('/well'))
    ;(await upstream.heard('GET /well')).send(ok)
    await client.until('\r\n\r\nok')
  }

  for (const [what, request] of [
    ['a request', get()],
    ['a streamed upload', streamed],
    ['an upgrade', upgrade()],
  ] as const) {
    test(`an upstream that sends headers forever, a few at a time, in answer to ${what} is a 504`, async t => {
      const { upstream, chain, client } = await started(t, { target: { answerTimeoutMs: 300 } })
      client.send(request)
      const there = (await upstream.request()).send('HTTP/1.1 200 OK\r\n')
      drip(there.socket, 'X: y\r\n')
      assert.match(await client.until('"answer-timeout"'), /^HTTP\/1\.1 504 /)
      await there.untilOver()
      await isWell(chain, upstream)
    })

    test(`an upstream that sends headers forever, as fast as it can, in answer to ${what} is a 502`, async t => {
      const { upstream, chain, client } = await started(t)
      client.send(request)
      const there = (await upstream.request()).send('HTTP/1.1 200 OK\r\n')
      await fillUntilStalled(there.socket, Buffer.from('X: y\r\n'.repeat(10_000)), 64 * megabyte)
      assert.match(await client.until('"upstream-malformed"'), /^HTTP\/1\.1 502 /)
      await isWell(chain, upstream)
    })

    test(`an upstream that sends hints forever in answer to ${what} is given up`, async t => {
      const { upstream, chain, client } = await started(t, { target: { answerTimeoutMs: 500 } })
      client.send(request)
      const there = await upstream.request()
      drip(there.socket, 'HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n'.repeat(3))
      const received = await client.until('application/problem+json')
      assert.match(received, /HTTP\/1\.1 50[24] /)
      assert((received.match(/ 103 /g) ?? []).length <= 32)
      await there.untilOver()
      await isWell(chain, upstream)
    })
  }

  test('an upstream that sends trailers forever is cut off visibly', async t => {
    const { upstream, chain, client } = await started(t)
    client.send(get())
    const there = (await upstream.request()).send(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n',
    )
    await client.until('ok')
    await fillUntilStalled(there.socket, Buffer.from('X: y\r\n'.repeat(10_000)), 64 * megabyte)
    assert.doesNotMatch(await client.untilOver(), /\r\n0\r\n\r\n$/)
    await isWell(chain, upstream)
  })

  const joined = async (t: Parameters<typeof startChain>[0]) => {
    const world = await started(t)
    world.client.send(upgrade())
    const there = (await world.upstream.request()).send(switching)
    await world.client.until('101')
    return { ...world, there }
  }

  for (const [how, close] of [
    ['closes', (socket: Socket) => socket.destroy()],
    ['is reset', (socket: Socket) => socket.resetAndDestroy()],
  ] as const) {
    test(`a client that ${how} while it does not read ends the upstream’s connection within a second`, async t => {
      const { client, there, chain } = await joined(t)
      client.socket.pause()
      await fillUntilStalled(there.socket, Buffer.alloc(megabyte), 64 * megabyte)
      there.socket.allowHalfOpen = false
      close(client.socket)
      await within(there.closed, 'the close', aSecond)
      assert.equal((await chain.result()).code, 'client-gone')
    })

    test(`a client that ${how} while the upstream does not read ends the upstream’s connection`, async t => {
      const { client, there, chain } = await joined(t)
      there.socket.pause()
      await fillUntilStalled(client.socket, Buffer.alloc(megabyte), 64 * megabyte)
      close(client.socket)
      // What the client sent before a FIN is still owed; after a reset nothing is.
      there.socket.resume()
      await there.untilOver()
      there.socket.destroy()
      await chain.result()
    })

    test(`a client that ${how} while it does not read an answer ends the upstream’s request within a second`, async t => {
      const { upstream, chain, client } = await started(t)
      client.socket.pause()
      client.send(get())
      const there = await upstream.request()
      there.send(`HTTP/1.1 200 OK\r\nContent-Length: ${512 * megabyte}\r\n\r\n`)
      await fillUntilStalled(there.socket, Buffer.alloc(megabyte), 64 * megabyte)
      close(client.socket)
      await within(Promise.race([there.ended, there.closed]), 'the end', aSecond)
      assert.equal((await chain.result()).code, 'client-gone')
      await isWell(chain, upstream)
    })

    test(`an upstream that ${how} while it does not read an upload ends the request`, async t => {
      const { upstream, chain, client } = await started(t)
      client.send(post(512 * megabyte)).send('first')
      const there = await upstream.request()
      there.socket.pause()
      await fillUntilStalled(client.socket, Buffer.alloc(megabyte), 64 * megabyte)
      close(there.socket)
      assert.match(await client.until('"upstream-failed"'), /^HTTP\/1\.1 502 /)
      await isWell(chain, upstream)
    })
  }

  test('what an upstream has sent before its end arrives whole, however late the client reads it', async t => {
    const { client, there } = await joined(t)
    client.socket.pause()
    const sent = await fillUntilStalled(there.socket, Buffer.alloc(megabyte, 'x'), 8 * megabyte)
    there.send('last').socket.end()
    client.socket.resume()
    const received = await within(
      client.ended.then(() => client.received),
      'the end',
    )
    assert(received.endsWith('last'))
    assert.equal(received.length - received.indexOf('\r\n\r\n') - 4, sent + 4)
  })

  test('a neighbour is answered while a client does not read and an upstream does not end', async t => {
    const { client, there, chain, upstream } = await joined(t)
    client.socket.pause()
    await fillUntilStalled(there.socket, Buffer.alloc(megabyte), 64 * megabyte)
    const startedAt = performance.now()
    await isWell(chain, upstream)
    assert(performance.now() - startedAt < aSecond)
  })
}
