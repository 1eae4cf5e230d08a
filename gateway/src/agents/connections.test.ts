import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { RelayFault } from '@porthole/protocol/relay'
import { request } from 'undici'
import { otherCertificate, otherKey, testCertificate, testKey } from '../../../agent/protocol/relay/test-certificate.ts'
import { AgentUnreachable, createAgents } from './client.ts'
import { createAgentConnections } from './connections.ts'

const holder = { key: testKey, cert: testCertificate }
const stranger = { key: otherKey, cert: otherCertificate }
const id = 'rt_01K0000000000000000000000A'
const command = { generation: 1, ownerHash: '2bd806c97f0e00af' }
const facts = { id, ...command, state: 'exited' }

/** An agent that says yes, and counts connections and bytes. */
const startAgent = async (t: TestContext, pair?: https.ServerOptions) => {
  const server = pair ? https.createServer(pair) : http.createServer()
  const seen = { connections: 0, bytes: 0, paths: [] as string[], sockets: new Set<Socket>() }
  server.on('request', (req, res) => {
    seen.paths.push(req.url ?? '')
    req.resume()
    res.end(JSON.stringify(facts))
  })
  server.on('connection', socket => {
    seen.connections += 1
    seen.sockets.add(socket)
  })
  server.on(pair ? 'secureConnection' : 'connection', socket => {
    socket.on('data', (data: Buffer) => {
      seen.bytes += data.length
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  const { port } = server.address() as AddressInfo
  return { server, seen, url: `${pair ? 'https' : 'http'}://127.0.0.1:${port}` }
}

const gateway = (t: TestContext) => {
  const connections = createAgentConnections()
  t.after(() => connections.close())
  return { connections, agents: createAgents({ sign: async () => 'token' }, connections) }
}

test('commands go to the holder of the certificate, on connections that are kept', async t => {
  const { agents } = gateway(t)
  const { url, seen } = await startAgent(t, holder)
  for (let n = 0; n < 6; n++) await agents.at({ id: 'h', url, certificate: testCertificate }).stop(id, command)
  assert.equal(seen.paths.length, 6)
  // The next command may be sent before undici has seen the end of the one before.
  assert(seen.connections <= 2, `${seen.connections} connections`)
})

test('plain agents are talked to as ever', async t => {
  const { agents } = gateway(t)
  const { url, seen } = await startAgent(t)
  await agents.at({ id: 'h', url, certificate: null }).stop(id, command)
  assert.deepEqual(seen.paths, [`/v1/runtimes/${id}/stop`])
})

for (const [who, pair] of [
  ['another certificate of the same name', stranger],
  ['no TLS', undefined],
] as const)
  test(`an agent with ${who} is unreachable, and is sent not a byte`, async t => {
    const { agents, connections } = gateway(t)
    const { url, seen } = await startAgent(t, pair)
    const host = { id: 'h', url: url.replace('http:', 'https:'), certificate: testCertificate }
    await assert.rejects(agents.at(host).stop(id, command), AgentUnreachable)
    const dispatcher = connections.starts(host)
    await assert.rejects(request(host.url, { dispatcher, method: 'PUT', body: 'x' }), RelayFault)
    await Promise.all([...seen.sockets].map(socket => socket.closed || once(socket, 'close')))
    assert.equal(seen.connections, 2)
    assert.deepEqual(seen.paths, [])
    // Without TLS what comes is a ClientHello, and nothing of ours.
    if (pair) assert.equal(seen.bytes, 0)
  })

test('a new certificate of a host is the one that counts, on new connections', async t => {
  const { agents } = gateway(t)
  const { server, url, seen } = await startAgent(t, holder)
  const before = { id: 'h', url, certificate: testCertificate }
  const after = { id: 'h', url, certificate: otherCertificate }
  await agents.at(before).stop(id, command)
  // The kept connection is to the holder of the old one.
  await assert.rejects(agents.at(after).stop(id, command), AgentUnreachable)
  assert.equal(seen.paths.length, 1)
  assert(server instanceof https.Server)
  server.setSecureContext(stranger)
  await agents.at(after).stop(id, command)
  await assert.rejects(agents.at(before).stop(id, command), AgentUnreachable)
  assert.equal(seen.paths.length, 2)
})
