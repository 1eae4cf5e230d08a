import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { edgePath, problemHeader } from '@porthole/protocol'
import { createRelay } from '@porthole/protocol/relay'
import { createEdge } from './edge.ts'
import { containerLabels, readLabels } from './labels.ts'
import { hostId, runtime, silent, startCommand } from './testing/orders.ts'

const recorded = readLabels(containerLabels(hostId, runtime, startCommand()), '') ?? assert.fail()

/** An agent's edge in front of a container that answers every request with these bytes. */
const bench = async (t: TestContext, answer: string) => {
  const container = net.createServer(socket => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end(answer.replaceAll('\n', '\r\n')))
  })
  const relay = createRelay()
  const agent = http.createServer()
  for (const server of [container, agent]) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  t.after(async () => {
    container.close()
    agent.close().closeAllConnections()
    await relay.close()
  })
  const origins = { rpc: `http://127.0.0.1:${(container.address() as AddressInfo).port}` }
  const edge = createEdge({
    tokens: { hop: async () => ({ runtimeId: runtime, generation: 1, access: 'control' }) },
    addresses: {
      find: async () => ({ recorded, origins, ended: t.signal }),
      suspect: () => true,
    },
    ...{ relay, log: silent },
  })
  agent.on('request', (req, res) => void edge.http(req, res))
  agent.on('upgrade', (req, socket, head) => void edge.upgrade(req, socket, head))
  /** All that the gateway is sent, byte by byte. */
  return async (more: string, port = 'rpc') => {
    const socket = net.connect((agent.address() as AddressInfo).port, '127.0.0.1')
    socket.write(`GET ${edgePath(runtime, 1, port, '/')} HTTP/1.1\r\nHost: agent\r\n${more}\r\n`)
    return (await socket.setEncoding('latin1').toArray()).join('')
  }
}

const closing = 'Connection: close\r\n'
const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n'
const forged = 'X-Porthole-Problem: not-found\nX-PORTHOLE-PROBLEM: stale-generation'

const answers: [what: string, request: string, answer: string, first: RegExp][] = [
  ['an answer', closing, `HTTP/1.1 404 Not Found\n${forged}\nContent-Length: 2\n\nno`, /^HTTP\/1\.1 404 /],
  [
    'early hints',
    closing,
    `HTTP/1.1 103 Early Hints\n${forged}\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok`,
    /^HTTP\/1\.1 103 .*HTTP\/1\.1 200 /s,
  ],
  [
    'trailers',
    closing,
    `HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: x-porthole-note\n\n2\nok\n0\n${forged}\n\n`,
    /^HTTP\/1\.1 200 /,
  ],
  [
    'an accepted upgrade',
    upgrade,
    `HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\n${forged}\n\n`,
    /^HTTP\/1\.1 101 /,
  ],
  ['a refused upgrade', upgrade, `HTTP/1.1 403 Forbidden\n${forged}\nContent-Length: 2\n\nno`, /^HTTP\/1\.1 403 /],
]

for (const [what, request, answer, first] of answers)
  test(`a container cannot pass for the agent in ${what}`, async t => {
    const ask = await bench(t, answer)
    const said = await ask(request)
    assert.match(said, first)
    assert.doesNotMatch(said, new RegExp(`^${problemHeader}:`, 'im'))
  })

test("the agent's own problems have their mark, for requests and upgrades", async t => {
  const ask = await bench(t, '')
  for (const more of [closing, upgrade])
    assert.match(await ask(more, 'none'), new RegExp(`^${problemHeader}: not-found\r$`, 'im'))
})
