import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { factsOf } from '../facts.ts'
import { containerLabels, ofHost } from '../labels.ts'
import { createRuntimes } from '../runtimes.ts'
import { defaults, hostId, ownerHash, runtime, silent, startCommand } from '../testing/orders.ts'
import { dockerEngine } from './docker.ts'
import { toCreateOptions } from './docker-shapes.ts'
import { EngineRefused } from './errors.ts'

const labels = containerLabels(hostId, runtime, startCommand())

/** A daemon that answers by path, whatever the version in front of it; anything else is a 404. */
const daemon = async (t: TestContext, answers: Record<string, unknown>) => {
  const server = http.createServer((req, res) => {
    const path = new URL(req.url ?? '', 'http://daemon').pathname.replace(/^\/v[\d.]+/, '')
    const answer = Object.hasOwn(answers, path) ? answers[path] : undefined
    res.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' })
    res.end(JSON.stringify(answer ?? { message: 'no such thing' }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  return dockerEngine({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
}

/** A daemon whose removal of the container `a1` is under way: `done` ends that, and the waits for it. */
const removingDaemon = async (t: TestContext, outcome: { StatusCode: number; Error?: { Message: string } }) => {
  const waits: (() => void)[] = []
  const asked = Promise.withResolvers<URL>()
  const server = http.createServer((req, res) => {
    const url = new URL(req.url ?? '', 'http://daemon')
    const say = (status: number, answer: object) => {
      res.writeHead(status, { 'content-type': 'application/json' })
      res.end(JSON.stringify(answer))
    }
    if (req.method === 'DELETE') return say(409, { message: 'removal of container a1 is already in progress' })
    waits.push(() => say(200, outcome))
    return asked.resolve(url)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  const engine = dockerEngine({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  return { engine, asked: asked.promise, done: () => waits.forEach(end => void end()) }
}

test('a container that somebody else removes is gone when that is done, not before', async t => {
  const { engine, asked, done } = await removingDaemon(t, { StatusCode: 137 })
  let isGone = false
  const removing = engine.remove('a1').then(() => {
    isGone = true
  })
  const url = await asked
  assert.match(url.pathname, /\/containers\/a1\/wait$/)
  assert.equal(url.searchParams.get('condition'), 'removed')
  assert.equal(isGone, false)
  done()
  await removing
})

test('a container whose removal by somebody else fails is not taken for gone', async t => {
  const { engine, asked, done } = await removingDaemon(t, { StatusCode: -1, Error: { Message: 'device busy' } })
  const removing = engine.remove('a1')
  await asked
  done()
  await assert.rejects(
    removing,
    (error: unknown) => error instanceof EngineRefused && /device busy/.test(error.message),
  )
})

const running = {
  Id: 'a1',
  Names: [`/browser-use-browser-${ownerHash}`],
  Labels: labels,
  State: 'running',
  Status: 'Up',
}
/** As Docker lists what it could not remove, or is removing: without a name. */
const nameless = [
  { Id: 'd1', Names: null, Labels: labels, State: 'dead', Status: 'Dead' },
  { Id: 'd2', Names: [], Labels: labels, State: 'removing', Status: 'Removal In Progress' },
  { Id: 'd3', Names: null, Labels: null, State: 'dead', Status: 'Dead' },
]

test('containers without a name are listed like any other, as ended', async t => {
  const engine = await daemon(t, { '/containers/json': [...nameless, running] })
  const listed = await engine.list(ofHost(hostId))
  assert.deepEqual(
    listed.map(({ id, name, status }) => [id, name, status]),
    [
      ['d1', '', 'dead'],
      ['d2', '', 'removing'],
      ['d3', '', 'dead'],
      ['a1', `browser-use-browser-${ownerHash}`, 'running'],
    ],
  )
  assert.deepEqual(
    listed.map(summary => factsOf(summary)?.state),
    ['exited', 'exited', undefined, 'running'],
  )
})

test('a container without a name and without a network is inspected like any other', async t => {
  const inspected = {
    Id: 'd1',
    Name: '',
    State: { Status: 'dead', ExitCode: 137 },
    Config: { Labels: labels, Env: null },
    NetworkSettings: { Networks: null, Ports: null },
  }
  const engine = await daemon(t, { '/containers/d1/json': inspected })
  const container = (await engine.inspect('d1')) ?? assert.fail('it is there')
  assert.deepEqual(container, {
    id: 'd1',
    name: '',
    labels,
    status: 'dead',
    exitCode: 137,
    env: [],
    published: {},
    volumes: [],
  })
  assert.deepEqual(factsOf(container), { id: runtime, generation: 1, ownerHash, state: 'exited', exitCode: 137 })
})

test('a host tells of its runtimes although some of its containers have no name', async t => {
  const engine = await daemon(t, { '/containers/json': nameless })
  const runtimes = createRuntimes({
    ...{ engine, probe: async () => ({ ok: true }), hostId, defaults, reach: 'bridge', startsAtOnce: 1, log: silent },
  })
  const ended = { id: runtime, generation: 1, ownerHash, state: 'exited' }
  assert.deepEqual(await runtimes.list(), [ended, ended])
  assert.deepEqual(await runtimes.inspect(runtime, { probe: true }), { ...ended, healthy: false })
})

test('GPUs are asked for by name, as docker run does, and not at all by who needs none', () => {
  const request = {
    ...{ name: 'n', image: 'i', env: {}, labels: {}, network: 'none', volumes: [], tmpfs: {}, readOnlyRoot: true },
    ...{ shmBytes: 1, memoryBytes: 1, cpus: 1, pids: 1, seccomp: 'default' as const, publish: [] },
  }
  const devices = (gpus: string[]) => toCreateOptions({ ...request, gpus }).HostConfig?.DeviceRequests
  assert.deepEqual(devices(['0', '3']), [{ DeviceIDs: ['0', '3'], Capabilities: [['gpu']] }])
  assert.equal(devices([]), undefined)
  assert.equal(toCreateOptions(request).HostConfig?.DeviceRequests, undefined)
})
