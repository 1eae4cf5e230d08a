import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get, RawUpstream, slack, startChain, switching, upgrade, type Wire, within } from './relay-kit.ts'

/** Milliseconds in which the end of one side is the end of the other. */
const aSecond = 1_000 * slack
const half = (text: string): [string, string] => [text.slice(0, text.length / 2), text.slice(text.length / 2)]

/** Connections that are reset at each point of an upgrade's handshake, for `hops` relays in a row. */
export function handshakeCases(hops: number): void {
  const started = async (
    t: Parameters<typeof startChain>[0],
    options: Partial<Parameters<typeof startChain>[2]> = {},
  ) => {
    const upstream = await RawUpstream.start(t)
    const chain = await startChain(t, hops, { origin: upstream.origin, ...options })
    return { upstream, chain, client: await chain.connect() }
  }
  type Started = Awaited<ReturnType<typeof started>>

  /** The relays are well: the next upgrade is joined. */
  const joinsAnother = async ({ upstream, chain }: Started) => {
    const client = (await chain.connect()).send(upgrade('X-Another: 1'))
    ;(await upstream.heard('X-Another')).send(`${switching}another`)
    await client.until('another')
  }
  const endsWithin = (wire: Wire) =>
    within(Promise.race([wire.ended, wire.closed]), 'the end of the upstream’s connection', aSecond)

  for (const [when, until] of [
    ['in the middle of its head', async ({ client }: Started) => void client.send(half(upgrade())[0])],
    [
      'before the upstream has answered',
      async ({ client, upstream }: Started) => {
        client.send(upgrade())
        return await upstream.request()
      },
    ],
    [
      'in the middle of the answer’s head',
      async ({ client, upstream }: Started) => {
        client.send(upgrade())
        return (await upstream.request()).send(half(switching)[0])
      },
    ],
    [
      'after much that the upstream was not there for yet',
      async ({ client, upstream }: Started) => {
        client.send(upgrade() + 'early'.repeat(1_000))
        return await upstream.request()
      },
    ],
    [
      'with the 101',
      async ({ client, upstream }: Started) => {
        client.send(upgrade())
        const there = (await upstream.request()).send(switching)
        await client.until('101')
        return there
      },
    ],
  ] as const) {
    test(`a client that is reset ${when} leaves nothing behind`, async t => {
      const world = await started(t)
      const there = await until(world)
      world.client.socket.resetAndDestroy()
      if (there !== undefined) {
        await endsWithin(there)
        assert.equal((await world.chain.result()).code, 'client-gone')
      }
      await joinsAnother(world)
    })
  }

  test('a client that is reset while the upstream is being connected leaves nothing behind', async t => {
    const upstream = await RawUpstream.start(t)
    // Takes no part in TLS's handshake: the connection never stands.
    const chain = await startChain(t, hops, { origin: upstream.origin.replace('http:', 'https:') })
    const client = (await chain.connect()).send(upgrade())
    const there = await upstream.accept()
    client.socket.resetAndDestroy()
    await endsWithin(there)
    assert.equal((await chain.result()).code, 'client-gone')
  })

  for (const [when, until] of [
    ['as it is connected', async (upstream: RawUpstream) => await upstream.accept()],
    ['before it has answered', async (upstream: RawUpstream) => await upstream.request()],
    [
      'in the middle of its answer’s head',
      async (upstream: RawUpstream) => (await upstream.request()).send(half(switching)[0]),
    ],
  ] as const) {
    test(`an upstream that is reset ${when} is a 502`, async t => {
      const world = await started(t)
      world.client.send(upgrade())
      const there = await until(world.upstream)
      there.socket.resetAndDestroy()
      assert.match(await world.client.untilOver(), /^HTTP\/1\.1 502 .*"upstream-(failed|unreachable)"/s)
      await joinsAnother(world)
    })
  }

  test('an upstream that is reset with its 101 ends the client’s connection', async t => {
    const world = await started(t)
    world.client.socket.allowHalfOpen = false
    world.client.send(upgrade())
    const there = (await world.upstream.request()).send(switching)
    await world.client.until('101')
    there.socket.resetAndDestroy()
    await within(world.client.closed, 'the close', aSecond)
    await joinsAnother(world)
  })

  for (const side of ['client', 'upstream'] as const) {
    test(`a half-close of the ${side} that the other side never answers ends both`, async t => {
      const world = await started(t, { target: { halfOpenTimeoutMs: 100 } })
      world.client.send(upgrade())
      const there = (await world.upstream.request()).send(switching)
      await world.client.until('101')
      const [closing, other] = side === 'client' ? [world.client, there] : [there, world.client]
      closing.socket.end()
      await within(other.ended, 'the FIN')
      await within(world.chain.result(hops - 1), 'the end')
      assert.equal(world.chain.results[hops - 1]?.[0]?.code, 'idle-timeout')
    })
  }

  test('a request behind a handshake that was reset is answered', async t => {
    const world = await started(t)
    world.client.send(upgrade())
    ;(await world.upstream.request()).socket.resetAndDestroy()
    await world.client.untilOver()
    const client = (await world.chain.connect()).send(get('/well'))
    ;(await world.upstream.heard('/well')).send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    await client.until('ok')
  })
}
