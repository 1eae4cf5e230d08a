import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { edgePath, type Heartbeat, heartbeat, hopHeader, joinRequest, runtimeFacts } from '@porthole/protocol'
import Docker from 'dockerode'
import { z } from 'zod'
import { watchCredentials } from '../../test/kit/credentials.ts'
import { evidence } from '../../test/kit/evidence.ts'
import { listen } from './server.ts'
import { realEngine } from './testing/config.ts'
import { createSigner } from './testing/gateway.ts'
import { perlServer, recipe, runtime, startCommand } from './testing/orders.ts'

const { address, image } = await realEngine()
const docker = new Docker(address)
const prefix = `porthole-test-${randomBytes(4).toString('hex')}`
const ownerHash = randomBytes(8).toString('hex')
const hostId = `host_${prefix}`

/** As much of a gateway as an agent sees. */
const gateway = async (t: TestContext) => {
  const signer = await createSigner()
  const beats = new EventEmitter<{ beat: [Heartbeat] }>()
  const joined: string[] = []
  const answers: Record<string, (body: unknown) => Promise<unknown>> = {
    '/.well-known/jwks.json': async () => signer.jwks,
    '/v1/hosts/join': async body => {
      const { url } = joinRequest.parse(body)
      const nonce = 'n'.repeat(32)
      const headers = { 'content-type': 'application/json' }
      const called = await fetch(`${url}/v1/challenge`, { method: 'POST', headers, body: JSON.stringify({ nonce }) })
      joined.push(z.object({ proof: z.string() }).parse(await called.json()).proof)
      return { hostId }
    },
    [`/v1/hosts/${hostId}/heartbeat`]: async body => {
      beats.emit('beat', heartbeat.parse(body))
      return { nextMs: 300 }
    },
  }
  const server = http.createServer(async (req, res) => {
    const text = (await req.setEncoding('utf8').toArray()).join('')
    const body = await answers[req.url ?? '']?.(text === '' ? undefined : JSON.parse(text))
    res.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  const port = await listen(server, '127.0.0.1', 0)
  t.after(() => server.close().closeAllConnections())
  return { url: `http://127.0.0.1:${port}`, signer, beats, joined }
}

const ready = z.object({ type: z.literal('ready'), url: z.string(), hostId: z.string() })

const startAgentProcess = async (t: TestContext, env: Record<string, string>) => {
  const child = fork(join(import.meta.dirname, 'main.ts'), {
    env: { ...env, LOG_LEVEL: 'trace' },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  t.after(() => child.kill('SIGKILL'))
  const lines: string[] = []
  const logFile = evidence.logFile('agent')
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    lines.push(text)
    appendFileSync(logFile, text)
  })
  const [message] = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => [lines.join('')])])
  return { child, lines, ...ready.parse(message) }
}

const exitOf = async (child: ChildProcess, act: () => void) => {
  const startedAt = performance.now()
  const exited = once(child, 'exit')
  act()
  const [code] = await exited
  return { code, ms: performance.now() - startedAt }
}

test('an agent joins, serves, and after a restart goes on with what runs', { timeout: 120_000 }, async t => {
  const dataDir = await mkdtemp(join(tmpdir(), 'porthole-agent-'))
  const { url: gatewayUrl, signer, beats, joined } = await gateway(t)
  t.after(async () => {
    for (const { Id } of await docker.listContainers({ all: true, filters: { label: [`porthole.host=${hostId}`] } })) {
      await docker.getContainer(Id).remove({ force: true, v: true })
    }
    for (const name of [ownerHash, 'left'])
      await docker
        .getVolume(`${prefix}-v-${name}`)
        .remove()
        .catch(() => undefined)
    await docker.getNetwork(prefix).remove()
    await rm(dataDir, { recursive: true })
  })
  const env = {
    PORTHOLE_GATEWAY_URL: gatewayUrl,
    PORTHOLE_DATA_DIR: dataDir,
    PORTHOLE_CONTAINER_PREFIX: `${prefix}-c-`,
    PORTHOLE_VOLUME_PREFIX: `${prefix}-v-`,
    PORTHOLE_HOST_NAME: 'box',
    BROWSER_RUNTIME_NETWORK: prefix,
    BROWSER_RUNTIME_IMAGE: image,
    DOCKER_HOST: 'socketPath' in address ? `unix://${address.socketPath}` : `tcp://${address.host}:${address.port}`,
    PORTHOLE_EXIT_WITH_PARENT: 'true',
  }
  const joinToken = evidence.remember('join token', 'once-only-token')
  watchCredentials()
  const first = await startAgentProcess(t, { ...env, PORTHOLE_JOIN_TOKEN: joinToken, PORT: '0' })
  const hostFile = z.object({ key: z.object({ d: z.string() }) })
  evidence.remember('host key', hostFile.parse(JSON.parse(await readFile(join(dataDir, 'host.json'), 'utf8'))).key.d)
  assert.equal(first.hostId, hostId)
  assert.equal(joined.length, 1)

  const call = async (base: string, method: string, body?: unknown) => {
    const answer = await fetch(`${base}/v1/runtimes/${runtime}`, {
      method,
      headers: { authorization: `Bearer ${await signer.command({ audience: hostId })}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: answer.status, body: answer.status === 204 ? undefined : await answer.json() }
  }
  const command = startCommand({
    ownerHash,
    recipe: recipe({
      entrypoint: perlServer(''),
      command: [],
      ports: { rpc: 8787 },
      memoryBytes: 2 ** 28,
      shmBytes: 2 ** 26,
    }),
    deadlineMs: 60_000,
  })
  const facts = { id: runtime, generation: 1, ownerHash, state: 'running' }
  const { status, body } = await call(first.url, 'PUT', command)
  const { steps, ...told } = runtimeFacts.parse(body)
  assert.deepEqual([status, told], [200, facts])
  assert(steps)
  const [beat] = await once(beats, 'beat', { signal: t.signal })
  assert.deepEqual(
    heartbeat.parse(beat).runtimes?.map(({ id }) => id),
    [runtime],
  )

  const port = new URL(first.url).port
  const stopped = await exitOf(first.child, () => first.child.kill('SIGTERM'))
  assert.equal(stopped.code, 0)
  assert.ok(stopped.ms < 5000, `${stopped.ms} ms`)
  assert.ok(!first.lines.join('').includes('once-only-token'))

  // What never had an owner, and whose agent died before it was gone.
  const left = `${prefix}-v-left`
  await docker.createVolume({ Name: left, Labels: { 'porthole.host': hostId, 'porthole.warm': 'true' } })
  const volumeNames = async () =>
    (await docker.listVolumes({ filters: { label: [`porthole.host=${hostId}`] } })).Volumes.map(({ Name }) => Name)
  const second = await startAgentProcess(t, { ...env, PORT: port })
  assert.deepEqual(await volumeNames(), [`${prefix}-v-${ownerHash}`])
  assert.equal(joined.length, 1, 'no token, no second join')
  assert.deepEqual(await call(second.url, 'PUT', command), { status: 200, body: facts })
  const hop = await signer.hop({ audience: hostId })
  const through = await fetch(`${second.url}${edgePath(runtime, 1, 'rpc', '/')}`, { headers: { [hopHeader]: hop } })
  assert.equal(through.status, 200)
  assert.equal(await through.text(), 'ok')
  assert.equal((await call(second.url, 'DELETE', { generation: 1, ownerHash, removeVolume: true })).status, 204)

  const ended = await exitOf(second.child, () => second.child.disconnect())
  assert.equal(ended.code, 0)
  assert.ok(ended.ms < 5000, `${ended.ms} ms`)
})
