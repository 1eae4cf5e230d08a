import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { accessHeader, edgePath, hopHeader, keyHeader, problemHeader } from '@porthole/protocol'
import { createRelay } from '@porthole/protocol/relay'
import { createAddresses } from './addresses.ts'
import { createApp } from './app.ts'
import { createEdge } from './edge.ts'
import { fakeEngine } from './engine/fake.ts'
import { createGatewayTokens } from './gateway-tokens.ts'
import { createRuntimes } from './runtimes.ts'
import { createAgentServer, listen } from './server.ts'
import { createSigner } from './testing/gateway.ts'
import { defaults, hostId, image, ownerHash, recipe, runtime, silent, startCommand } from './testing/orders.ts'
import { createUses } from './uses.ts'
import { createVolumes } from './volumes.ts'

const name = `browser-use-browser-${ownerHash}`

/** An agent on a fake engine whose one container is a real server on the loopback. */
const bench = async (t: TestContext) => {
  const seen: http.IncomingMessage[] = []
  const answers = { location: 'nowhere' }
  const container = http.createServer((req, res) => {
    seen.push(req)
    res.writeHead(200, { 'x-from': 'container', [problemHeader]: 'spoofed', ...answers }).end(`served ${req.url}`)
  })
  const sockets: Duplex[] = []
  container.on('upgrade', (req, socket) => {
    seen.push(req)
    sockets.push(socket)
    const protocol = req.url === '/other' ? 'other' : 'websocket'
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: ${protocol}\r\nconnection: upgrade\r\n\r\nhello`)
    socket.on('error', () => undefined)
  })
  const containerPort = await listen(container, '127.0.0.1', 0)

  const signer = await createSigner()
  const engine = fakeEngine({ images: [image] })
  const relay = createRelay()
  const stop = new AbortController()
  const tokens = createGatewayTokens(signer.keys, hostId)
  const addresses = createAddresses({ engine, hostId, reach: 'bridge', log: silent })
  const following = addresses.follow(stop.signal, () => undefined)
  const runtimes = createRuntimes({
    engine,
    probe: async () => ({ ok: true }),
    hostId,
    defaults,
    reach: 'bridge',
    startsAtOnce: 1,
    log: silent,
  })
  const volumes = createVolumes({ engine, hostId, defaults })
  let now = 0
  const uses = createUses({ now: () => now })
  const edge = createEdge({ tokens, addresses, relay, uses, log: silent })
  const app = createApp({ desk: () => ({ tokens, runtimes, volumes }), prove: async () => undefined, log: silent })
  const server = createAgentServer({ app, edge: () => edge, relay })
  const port = await listen(server, '127.0.0.1', 0)
  t.after(async () => {
    stop.abort()
    await following
    for (const socket of sockets) socket.destroy()
    container.close().closeAllConnections()
    server.close().closeAllConnections()
    await relay.close()
  })

  const command = (generation: number) =>
    startCommand({ generation, recipe: recipe({ ports: { rpc: containerPort, gone: 1 } }) })
  await runtimes.start(runtime, command(1))
  /** By hand: fetch would normalise the path. */
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const request = http.get({ port, path, headers, agent: false })
    const [answer]: http.IncomingMessage[] = await once(request, 'response')
    const body = (await answer?.setEncoding('utf8').toArray())?.join('') ?? ''
    return { status: answer?.statusCode, headers: answer?.headers ?? {}, body }
  }
  const upgrade = async (path: string, hop: string) => {
    const request = http.request({
      port,
      path,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-key': 'x',
        'sec-websocket-version': '13',
        [hopHeader]: hop,
      },
    })
    request.end()
    const opened = Promise.withResolvers<{ status: number; socket?: Duplex; head: string; problem: unknown }>()
    request.on('upgrade', (res, socket, head) =>
      opened.resolve({ status: res.statusCode ?? 0, socket, head: head.toString(), problem: undefined }),
    )
    request.on('response', res => {
      opened.resolve({ status: res.statusCode ?? 0, head: '', problem: res.headers[problemHeader] })
      res.resume()
    })
    request.on('error', opened.reject)
    return opened.promise
  }
  const unusedAfter = (ms: number) => {
    now += ms
    return uses.unusedMs({ id: runtime, ports: { rpc: containerPort } }, undefined)
  }
  return { unusedAfter, seen, sockets, answers, signer, engine, runtimes, containerPort, command, get, upgrade }
}

const seconds = () => Math.floor(Date.now() / 1000)
const path = (rest = '/a?b=c', generation = 1, port = 'rpc') => edgePath(runtime, generation, port, rest)

test('a request reaches the container with the key and the access, and without the headers of the hop', async t => {
  const { seen, signer, engine, containerPort, get } = await bench(t)
  const answer = await get(path('/a/../%2e?b=c?d'), {
    [hopHeader]: await signer.hop({ access: 'view' }),
    [keyHeader]: 'guess',
    'x-porthole-other': 'x',
    'x-forwarded-for': '203.0.113.9',
    authorization: 'Basic own',
  })
  assert.equal(answer.status, 200)
  assert.equal(answer.body, 'served /a/../%2e?b=c?d')
  assert.equal(answer.headers['x-from'], 'container')
  assert.equal(answer.headers[problemHeader], undefined)
  const { headers } = seen[0] ?? assert.fail('the container was not asked')
  assert.equal(headers.host, `127.0.0.1:${containerPort}`)
  assert.equal(headers[keyHeader], engine.requestOf(name)?.env.PORTHOLE_KEY)
  assert.equal(headers[accessHeader], 'view')
  assert.equal(headers[hopHeader], undefined)
  assert.equal(headers['x-porthole-other'], undefined)
  assert.equal(headers['x-forwarded-for'], '203.0.113.9')
  assert.equal(headers.authorization, 'Basic own')
})

test('every request needs a hop token for exactly this runtime and generation', async t => {
  const { seen, signer, get, upgrade } = await bench(t)
  const other = 'rt_01K0000000000000000000000Z'
  const refused: string[] = [
    'x',
    await signer.command(),
    await signer.hop({ runtime: other }),
    await signer.hop({ generation: 2 }),
    await signer.hop({ audience: 'host_b' }),
    await signer.hop({ issuedAt: seconds() - 90, expiresAt: seconds() - 31 }),
  ]
  for (const hop of refused) {
    const answer = await get(path(), { [hopHeader]: hop })
    assert.equal(answer.status, 401)
    assert.equal(answer.headers[problemHeader], 'unauthorized')
    assert.equal((await upgrade(path(), hop)).status, 401)
  }
  assert.equal((await get(path())).status, 401)
  assert.equal(seen.length, 0)
})

test('a runtime, port, generation or route that is not there is a problem of the agent', async t => {
  const { signer, get } = await bench(t)
  const ask = async (where: string, claims: Parameters<typeof signer.hop>[0]) =>
    (await get(where, { [hopHeader]: await signer.hop(claims) })).headers[problemHeader]
  const other = 'rt_01K0000000000000000000000Z'
  assert.equal(await ask(edgePath(other, 1, 'rpc', '/'), { runtime: other }), 'not-found')
  assert.equal(await ask(path('/', 1, 'cdp'), {}), 'not-found')
  assert.equal(await ask(path('/', 1, 'constructor'), {}), 'not-found')
  assert.equal(await ask(path('/', 2), { generation: 2 }), 'stale-generation')
  assert.equal(await ask('/edge/', {}), 'not-found')
  assert.equal(await ask(`/edge/${runtime}/01/rpc/`, {}), 'not-found')
  assert.equal(await ask(path('/', 1, 'gone'), {}), 'port-unreachable')
})

test('the hot path asks the engine nothing', async t => {
  const { signer, engine, get } = await bench(t)
  const hop = await signer.hop()
  await get(path(), { [hopHeader]: hop })
  const before = engine.calls.length
  for (let i = 0; i < 5; i++) await get(path(), { [hopHeader]: hop })
  assert.equal(engine.calls.length, before)
})

test('a new generation is found at once, and the old one is refused', async t => {
  const { signer, runtimes, command, get, upgrade } = await bench(t)
  await get(path(), { [hopHeader]: await signer.hop() })
  await runtimes.start(runtime, command(2))
  assert.equal((await get(path('/', 2), { [hopHeader]: await signer.hop({ generation: 2 }) })).status, 200)
  const old = await signer.hop()
  assert.equal((await get(path('/', 1), { [hopHeader]: old })).status, 409)
  assert.equal((await upgrade(path('/', 1), old)).status, 409)
  assert.equal((await get(path('/', 2), { [hopHeader]: old })).status, 401)
  assert.equal((await upgrade(path('/', 2), old)).status, 401)
})

test('an upgrade is spliced, and closes when the container ends', async t => {
  const { seen, signer, engine, upgrade } = await bench(t)
  const { status, socket, head } = await upgrade(path('/websockify'), await signer.hop({ access: 'view' }))
  assert.equal(status, 101)
  assert.ok(socket)
  socket.on('error', () => undefined)
  const closed = once(socket, 'close')
  const greeting = head || String((await once(socket, 'data'))[0])
  assert.equal(greeting, 'hello')
  assert.equal(seen[0]?.headers[accessHeader], 'view')
  socket.resume()
  engine.exit(name, 1)
  await closed
})

test('a container takes its own pages for its own, and its address for a path', async t => {
  const { seen, answers, signer, containerPort, get } = await bench(t)
  const own = `http://127.0.0.1:${containerPort}`
  const hop = async (more: Record<string, string>) => ({ [hopHeader]: await signer.hop(), ...more })
  const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'app.example' }
  await get(path(), await hop({ ...forwarded, origin: 'https://app.example' }))
  assert.deepEqual([seen.at(-1)?.headers.origin, seen.at(-1)?.headers.host], [own, own.slice('http://'.length)])
  await get(path(), await hop({ ...forwarded, origin: 'https://other.example' }))
  assert.equal(seen.at(-1)?.headers.origin, 'https://other.example')
  for (const [location, wanted] of [
    [`${own}/a//b?c#d`, '/a//b?c#d'],
    [`${own}//evil.example/`, '/evil.example/'],
    ['http://other.example/a', 'http://other.example/a'],
    ['b?c', 'b?c'],
  ] as const) {
    answers.location = location
    assert.equal((await get(path(), await hop({}))).headers.location, wanted)
  }
})

test('a runtime that has ended or pauses takes no traffic', async t => {
  const { signer, engine, get } = await bench(t)
  const ask = async () => (await get(path(), { [hopHeader]: await signer.hop() })).headers[problemHeader]
  const id = (await engine.inspect(name))?.id ?? ''
  await engine.pause(id)
  assert.equal(await ask(), 'wrong-state')
  await engine.unpause(id)
  assert.equal(await ask(), undefined)
  engine.exit(name, 1)
  assert.equal(await ask(), 'wrong-state')
  await engine.remove(id)
  assert.equal(await ask(), 'not-found')
})

test('an upgrade outside the edge is refused', async t => {
  const { upgrade } = await bench(t)
  assert.equal((await upgrade('/v1/runtimes', 'x')).status, 404)
})

/** Of a client: its mask is 0. */
const pong = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])
const message = Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x61])

test('requests, and messages that a client sends on a socket, count as use of the runtime', async t => {
  const { sockets, signer, get, upgrade, unusedAfter } = await bench(t)
  await get(path('/health'), { [hopHeader]: await signer.hop() })
  assert.equal(unusedAfter(1000), 1000, 'to ask whether it is well is none')
  await get(path('/'), { [hopHeader]: await signer.hop() })
  assert.equal(unusedAfter(50), 50)
  const { socket } = await upgrade(path('/socket'), await signer.hop())
  const there = sockets[0] ?? assert.fail('the container has no socket')
  assert(socket)
  /** Resolves when the container has it: then it was looked at. */
  const send = async (bytes: Buffer) => {
    socket.write(bytes)
    assert.deepEqual((await once(there, 'data'))[0], bytes)
  }
  assert.equal(unusedAfter(300), 300)
  await send(pong)
  assert.equal(unusedAfter(100), 400, 'a pong is none')
  await send(message)
  assert.equal(unusedAfter(1), 0)
  assert.equal(unusedAfter(400), 400)
  socket.destroy()
})

test('on a socket that is upgraded to something else every byte is use', async t => {
  const { sockets, signer, upgrade, unusedAfter } = await bench(t)
  const { socket } = await upgrade(path('/other'), await signer.hop())
  assert.equal(unusedAfter(300), 300)
  socket?.write(pong)
  await once(sockets[0] ?? assert.fail('the container has no socket'), 'data')
  assert.equal(unusedAfter(1), 0)
  socket?.destroy()
})
