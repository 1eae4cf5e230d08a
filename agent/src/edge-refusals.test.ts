import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { edgePath, problemHeader } from '@porthole/protocol'
import { createRelay, relayServerOptions } from '@porthole/protocol/relay'
import { createEdge } from './edge.ts'
import { AgentError } from './problems.ts'
import { runtime, silent } from './testing/orders.ts'

const body = Buffer.alloc(3 * 2 ** 20, 'a')

/** A gateway's relay in front of an agent that lets nobody through. @returns the gateway's port */
const refusing = async (t: TestContext): Promise<number> => {
  const relay = createRelay()
  const edge = createEdge({
    tokens: {
      hop: async () => {
        throw new AgentError('unauthorized')
      },
    },
    addresses: { find: () => assert.fail(), suspect: () => true },
    ...{ relay, log: silent },
  })
  const agent = http.createServer(relayServerOptions, (req, res) => void edge.http(req, res))
  const gateway = http.createServer(relayServerOptions, (req, res) => {
    const { port } = agent.address() as AddressInfo
    void relay.http(req, res, { origin: `http://127.0.0.1:${port}`, path: req.url ?? '/', headers: {} })
  })
  for (const server of [agent, gateway]) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  t.after(async () => {
    await relay.close()
    for (const server of [agent, gateway]) server.close().closeAllConnections()
  })
  return (gateway.address() as AddressInfo).port
}

for (const [name, headers] of [
  ['in chunks', { 'transfer-encoding': 'chunked' }],
  ['with a length', { 'content-length': String(body.length) }],
] as const)
  test(`a refusal reaches who is in the middle of an upload ${name}`, async t => {
    const port = await refusing(t)
    for (let round = 0; round < 10; round += 1) {
      const path = edgePath(runtime, 1, 'rpc', '/')
      const request = http.request({ port, host: '127.0.0.1', method: 'POST', path, headers, agent: false })
      request.on('error', () => undefined)
      request.end(body)
      const [answer] = (await once(request, 'response')) as [http.IncomingMessage]
      assert.equal(answer.statusCode, 401)
      assert.equal(answer.headers[problemHeader], 'unauthorized')
      answer.resume()
      await once(answer, 'close')
      request.destroy()
    }
  })
