import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type AgentErrorCode, agentErrors, type StartCommand } from '@porthole/protocol'
import { createRelay } from '@porthole/protocol/relay'
import { type AgentClient, AgentRefused, AgentUnreachable, createAgents } from './client.ts'
import { createAgentConnections } from './connections.ts'

const id = 'rt_01K0000000000000000000000A'
const ownerHash = '2bd806c97f0e00af'
const facts = { id, generation: 1, ownerHash, state: 'running' }
const start: StartCommand = {
  ...{ generation: 1, tenant: 'default', ownerHash, env: {}, deadlineMs: 20_000 },
  recipe: {
    ...{ name: 'browser', env: {}, ports: { rpc: 8787 }, health: null, volumePath: null, keyed: true },
    ...{ readOnlyRoot: true, tmpfs: {}, shmBytes: 1, memoryBytes: 1, cpus: 1, pids: 1 },
    ...{ seccomp: 'browser', egress: 'internet', stopSeconds: 1 },
  },
}

/** Whoever answers at a host's address, and the client of it. */
const bench = async (t: TestContext, answer: http.RequestListener) => {
  const server = http.createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connections = createAgentConnections()
  t.after(async () => {
    server.close().closeAllConnections()
    await connections.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const agents = createAgents({ sign: async () => 'token' }, connections)
  return { url, agent: agents.at({ id: 'host_a', url, certificate: null }) }
}

/** Every command, and the status that says that it was done. */
const commands: Record<string, { done: 200 | 204; send: (agent: AgentClient) => Promise<unknown> }> = {
  start: { done: 200, send: agent => agent.start(id, start) },
  stop: { done: 200, send: agent => agent.stop(id, { generation: 1 }) },
  pause: { done: 200, send: agent => agent.pause(id, { generation: 1 }) },
  resume: { done: 200, send: agent => agent.resume(id, { generation: 1 }) },
  remove: { done: 204, send: agent => agent.remove(id, { generation: 1, ownerHash, removeVolume: true }) },
  probe: { done: 200, send: agent => agent.probe(id) },
}

type Sent = { status: number; type?: string; body?: string }
const page: Sent = { status: 200, type: 'text/html', body: '<!doctype html><title>Sign in</title>' }
const problem = (code: AgentErrorCode): Sent => {
  const [status, title] = agentErrors[code]
  const body = JSON.stringify({ type: `urn:porthole:agent:${code}`, title, status, code })
  return { status, type: 'application/problem+json', body }
}
const saying =
  ({ status, type = 'application/json', body = '' }: Sent): http.RequestListener =>
  (req, res) => {
    req.resume()
    res.writeHead(status, { 'content-type': type, ...(status === 302 ? { location: '/elsewhere' } : {}) }).end(body)
  }

/** Answers from which nothing follows, whatever was asked. */
const senseless: Record<string, Sent> = {
  "a proxy's page": page,
  'a page for a redirect': { ...page, status: 302 },
  'a success of another kind': { status: 202, body: JSON.stringify(facts) },
  "a proxy's 404": { ...page, status: 404 },
  "a proxy's 502": { ...page, status: 502 },
  'a problem without a code': { status: 404, body: '{"type":"about:blank","title":"x","status":404}' },
  'that it did not believe the token': problem('unauthorized'),
  'that it could not check the token': problem('keys-unavailable'),
}

for (const [name, { done, send }] of Object.entries(commands)) {
  test(`${name}: the one status that is due is taken for done`, async t => {
    const { agent } = await bench(t, saying({ status: done, body: done === 204 ? '' : JSON.stringify(facts) }))
    await send(agent)
  })

  const due: Record<string, Sent> =
    done === 204
      ? { 'a 200 where 204 is due': { status: 200, body: JSON.stringify(facts) } }
      : { 'a 204 where 200 is due': { status: 204 }, 'a 200 with something else in it': { status: 200, body: '{}' } }
  for (const [what, sent] of Object.entries({ ...senseless, ...due }))
    test(`${name}: from ${what} nothing is concluded`, async t => {
      let asked = 0
      const { agent } = await bench(t, (req, res) => {
        asked++
        saying(sent)(req, res)
      })
      await assert.rejects(send(agent), AgentUnreachable)
      assert.equal(asked, 1, 'it is asked once, and no redirect is followed')
    })
}

test('only an agent that says so itself has no such runtime', async t => {
  const { agent } = await bench(t, saying(problem('not-found')))
  assert.equal(await agent.probe(id), undefined)
  await agent.stop(id, { generation: 1 })
  await assert.rejects(agent.pause(id, { generation: 1 }), AgentRefused)
  await assert.rejects(agent.start(id, start), AgentRefused)
})

test("an agent's no is its own, with its code", async t => {
  const { agent } = await bench(t, saying(problem('no-room')))
  for (const { send } of Object.values(commands))
    await assert.rejects(send(agent), (error: unknown) => error instanceof AgentRefused && error.is('no-room'))
})

test('an answer of more than 1 MiB is not read to its end', async t => {
  let sent = 0
  const { agent } = await bench(t, (req, res) => {
    req.resume()
    const chunk = Buffer.alloc(64 * 1024, ' ')
    const more = () => {
      if (res.destroyed) return
      sent += chunk.length
      // By hand, so that a client which would take it all is given it all.
      if (sent > 256 * 2 ** 20) res.end()
      else if (res.write(chunk)) setImmediate(more)
      else res.once('drain', more)
    }
    more()
  })
  await assert.rejects(agent.probe(id), (error: unknown) => {
    assert(error instanceof AgentUnreachable)
    assert.match(error.message, /more than 1 MiB/)
    return true
  })
  assert(sent < 64 * 2 ** 20, `${sent} bytes were sent`)
})

test('an answer of just 1 MiB is read', async t => {
  const text = JSON.stringify(facts).padEnd(1024 * 1024)
  const { agent } = await bench(t, saying({ status: 200, body: text }))
  assert.equal((await agent.probe(id))?.state, 'running')
})

test('starts that hang do not hold up what else is to be said to their host', { timeout: 20_000 }, async t => {
  const starts = 80
  const hanging: http.ServerResponse[] = []
  const allHang = Promise.withResolvers<void>()
  const { url, agent } = await bench(t, (req, res) => {
    req.resume()
    if (req.method === 'PUT') {
      if (hanging.push(res) === starts) allHang.resolve()
    } else if (req.method === 'DELETE') res.writeHead(204).end()
    else res.end(JSON.stringify(facts))
  })
  const started = Array.from({ length: starts }, () => agent.start(id, start))
  await allHang.promise

  for (const [name, { send }] of Object.entries(commands)) if (name !== 'start') await send(agent)

  const relay = createRelay()
  const gateway = http.createServer((req, res) => {
    void relay.http(req, res, { origin: url, path: '/edge', headers: {} })
  })
  gateway.listen(0, '127.0.0.1')
  await once(gateway, 'listening')
  t.after(async () => {
    gateway.close().closeAllConnections()
    await relay.close()
  })
  const edge = await fetch(`http://127.0.0.1:${(gateway.address() as AddressInfo).port}/`)
  assert.equal(edge.status, 200)
  await edge.text()

  assert.equal(hanging.length, starts)
  for (const res of hanging) res.end(JSON.stringify(facts))
  await Promise.all(started)
})
