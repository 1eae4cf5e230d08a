import assert from 'node:assert/strict'
import net from 'node:net'
import { after, afterEach, before, describe, it, type TestContext } from 'node:test'
import { type Front, headOf, visit } from '../../agent/protocol/relay/front.ts'
import { RawUpstream, switching, within } from '../../agent/protocol/relay/relay-kit.ts'
import { inTurns } from '../../gateway/src/hostile/crowd.ts'
import { createNeighbour, type Neighbour } from '../../gateway/src/hostile/neighbour.ts'
import { eventually } from '../kit/eventually.ts'
import { type EdgeWorld, memoryOf, startEdgeWorld } from './world.ts'

const megabyte = 1024 * 1024
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
/** Bytes by which gateway or agent may grow; what V8 keeps for next time is in it. */
const growth = 150 * megabyte
/**
 * Milliseconds within which 95 of 100 answers to a neighbour come meanwhile, beside what they take at rest: faults, host
 * and neighbour share this machine with whatever else runs.
 */
const neighbourMs = 2_000

const originOf = async (server: net.Server): Promise<string> => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert(typeof address === 'object' && address)
  return `http://127.0.0.1:${address.port}`
}

describe('faults, two hops: gateway, agent, container', { concurrency: false }, () => {
  let world: EdgeWorld
  let neighbour: Neighbour
  let bound: number
  /** Sockets of gateway and agent at rest. */
  let atRest: readonly [string[], string[]]

  before(async () => {
    world = await startEdgeWorld({ PORTHOLE_MAX_CONNECTIONS: '20000' })
    const server = net.createServer(socket => {
      socket.on('error', () => {})
      socket.on('data', () => socket.write(ok))
    })
    server.unref()
    const front = await world.open(await originOf(server))
    const [, bearer = ''] = front.credentials[0]?.split(': ', 2) ?? []
    neighbour = createNeighbour(`http://127.0.0.1:${front.port}${front.at('/')}`, bearer)
    const second = () => new Promise<void>(resolve => setTimeout(resolve, 1_000))
    await neighbour.during(second)
    bound = neighbourMs + 5 * (await neighbour.during(second))
    atRest = world.held()
  })
  after(async () => {
    neighbour?.close()
    await world?.close()
  })
  afterEach(async () => {
    assert(world.isAlive(), 'the gateway has ended')
    // Kept connections to agent and container are let go after some seconds.
    await eventually(() => {
      for (const [n, now] of world.held().entries()) {
        const rest = atRest[n] ?? []
        assert(now.length <= rest.length + 4, `held: ${now.join(', ')}; at rest: ${rest.join(', ')}`)
      }
    }, 20_000)
  })

  /** Something bad, during which the neighbour is answered, and neither gateway nor agent grows. */
  const endure = async (fault: () => Promise<void>) => {
    const pids = [world.gatewayPid, world.agentPid()]
    const most = pids.map(memoryOf)
    const before = [...most]
    const watch = setInterval(() => {
      for (const [n, pid] of pids.entries()) most[n] = Math.max(most[n] ?? 0, memoryOf(pid))
    }, 50)
    try {
      const p95 = await neighbour.during(fault)
      assert(p95 < bound, `the neighbour waited ${Math.round(p95)} ms; ${Math.round(bound)} are allowed`)
    } finally {
      clearInterval(watch)
    }
    const grown = most.map((bytes, n) => bytes - (before[n] ?? 0))
    assert(Math.max(...grown) < growth, `gateway and agent grew by ${grown.map(b => Math.round(b / megabyte))} MiB`)
  }

  const opened = async (t: TestContext) => {
    const upstream = await RawUpstream.start(t)
    return { upstream, front: await world.open(upstream.origin) }
  }

  /** A container that gives whoever asks a socket, or an answer, which it fills as fast as it is taken. */
  const pouring = async (t: TestContext) => {
    const chunk = Buffer.alloc(megabyte)
    const sockets = new Set<net.Socket>()
    const server = net.createServer(socket => {
      sockets.add(socket.once('close', () => sockets.delete(socket)))
      socket.on('error', () => {})
      socket.once('data', head => {
        const isUpgrade = head.toString('latin1').includes('websocket')
        socket.write(isUpgrade ? switching : `HTTP/1.1 200 OK\r\nContent-Length: ${1e12}\r\n\r\n`)
        const fill = () => {
          while (!socket.destroyed && socket.write(chunk)) {}
        }
        socket.on('drain', fill)
        fill()
      })
    })
    const origin = await originOf(server)
    t.after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    return { front: await world.open(origin), open: () => sockets.size }
  }

  /** A connection to the gateway that reads nothing after its first byte. */
  const deaf = async (front: Front, bytes: string) => {
    const socket = net.connect(front.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(bytes)
    await within(new Promise<void>(resolve => socket.once('readable', resolve)), 'the first byte', 20_000)
    return socket
  }
  const upgradeTo = (front: Front) =>
    headOf(front, 'GET', '/ws', [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: x',
    ])

  for (const [what, bytes] of [
    ['answers', (front: Front) => headOf(front, 'GET', '/')],
    ['sockets', upgradeTo],
  ] as const)
    it(`sixty readers of ${what} that do not read hold their container back, and close within a second of leaving`, async t => {
      const container = await pouring(t)
      await endure(async () => {
        const readers = await Promise.all(
          Array.from({ length: 60 }, () => deaf(container.front, bytes(container.front))),
        )
        await new Promise(resolve => setTimeout(resolve, 1_000))
        assert(container.open() >= 60)
        for (const [n, socket] of readers.entries()) n % 2 === 0 ? socket.destroy() : socket.resetAndDestroy()
        await eventually(() => assert.equal(container.open(), 0), 5_000)
      })
    })

  it('sixty writers that send a byte at a time keep nobody waiting, and end with their connection', async t => {
    const { upstream, front } = await opened(t)
    await endure(async () => {
      const writers = await Promise.all(
        Array.from({ length: 60 }, async () => (await visit(t, front)).ask('POST', '/', 'Content-Length: 1000')),
      )
      for (let n = 0; n < 20; n += 1) {
        for (const writer of writers) writer.send('x')
        await new Promise(resolve => setTimeout(resolve, 50))
      }
      await eventually(() => assert.equal(upstream.wires.length, 60))
      for (const writer of writers) writer.socket.destroy()
      for (const wire of upstream.wires) await wire.untilOver()
    })
  })

  it('ten thousand that connect and vanish leave nothing behind', { timeout: 300_000 }, async t => {
    const { upstream, front } = await opened(t)
    upstream.server.on('connection', socket => socket.on('end', () => socket.destroy()))
    const request = headOf(front, 'GET', '/')
    const upgrade = upgradeTo(front)
    const kinds = ['', request.slice(0, 40), request, upgrade]
    await endure(() =>
      inTurns(
        10_000,
        50,
        n =>
          new Promise<void>(resolve => {
            const socket = net.connect(front.port, '127.0.0.1')
            socket.on('error', () => {})
            socket.once('close', () => resolve())
            socket.once('connect', () => {
              const bytes = kinds[n % 4] ?? ''
              const vanish = () => (n % 8 < 4 ? socket.destroy() : socket.resetAndDestroy())
              if (bytes === '') vanish()
              else socket.write(bytes, vanish)
            })
          }),
      ),
    )
    await eventually(() => assert(upstream.wires.every(({ socket }) => socket.destroyed)), 20_000)
  })

  for (const [what, ask] of [
    ['a request', (front: Front) => headOf(front, 'GET', '/')],
    ['an upgrade', upgradeTo],
  ] as const)
    it(`a container that sends headers forever in answer to ${what} is a 502`, async t => {
      const { upstream, front } = await opened(t)
      await endure(async () => {
        const client = (await visit(t, front)).send(ask(front))
        const there = (await upstream.request()).send('HTTP/1.1 200 OK\r\n')
        const drip = setInterval(() => there.send('X: y\r\n'.repeat(1_000)), 20)
        there.socket.once('close', () => clearInterval(drip))
        const received = await client.until('"code":"upstream-failed"')
        assert.match(received, /^HTTP\/1\.1 502 /)
        await within(there.closed, 'the close')
      })
    })

  it('an agent that is killed cuts off what went through it, is a 502, and serves again when it is back', async t => {
    const { upstream, front } = await opened(t)
    const body = (await visit(t, front)).ask('GET', '/half')
    ;(await upstream.heard('GET /half')).send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
    await body.until('half')
    const waiting = (await visit(t, front)).ask('GET', '/waiting')
    const there = await upstream.heard('GET /waiting')
    const upload = (await visit(t, front)).ask('POST', '/up', 'Content-Length: 100').send('half')
    await upstream.heard('POST /up')
    const joined = (await visit(t, front)).upgrade()
    ;(await upstream.heard('GET /ws')).send(switching)
    await joined.until('101')

    const closing = [body, joined].map(client => within(Promise.race([client.ended, client.closed]), 'the end', 1_000))
    await world.killAgent()
    await Promise.all(closing)
    assert.match(await waiting.until('"code":"upstream-failed"'), /^HTTP\/1\.1 502 /)
    assert.match(await upload.until('"code":"upstream-failed"'), /^HTTP\/1\.1 502 /)
    await there.untilOver()
    const request = (await visit(t, front)).ask('GET', '/')
    assert.match(await request.until('"code":"upstream-failed"'), /^HTTP\/1\.1 502 /)
    const socket = (await visit(t, front)).upgrade()
    assert.match(await socket.untilOver(), /^HTTP\/1\.1 502 .*"code":"upstream-failed"/s)

    await world.restartAgent()
    const again = (await visit(t, front)).ask('GET', '/again')
    ;(await upstream.heard('GET /again')).send(ok)
    await again.until('\r\n\r\nok')
    for (const client of [body, waiting, upload, joined, request, socket, again]) client.socket.destroy()
  })

  it('a container that ends takes its sockets with it, and what waits for it is told when to try again', async t => {
    const { upstream, front } = await opened(t)
    const joined = (await visit(t, front)).upgrade()
    ;(await upstream.heard('GET /ws')).send(switching)
    await joined.until('101')
    const waiting = (await visit(t, front)).ask('GET', '/waiting')
    await upstream.heard('GET /waiting')
    await world.endContainer(front)
    await within(Promise.race([joined.ended, joined.closed]), 'the end', 1_000)
    const received = await waiting.until('"code":"not-running"')
    assert.match(received, /^HTTP\/1\.1 503 /)
    assert.match(received, /\r\nretry-after: \d+\r\n/i)
    waiting.socket.destroy()
  })
})
