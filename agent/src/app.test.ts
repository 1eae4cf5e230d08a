import assert from 'node:assert/strict'
import { test } from 'node:test'
import { agentProblem, runtimeFacts } from '@porthole/protocol'
import { createApp } from './app.ts'
import { EngineUnavailable } from './engine/errors.ts'
import { fakeEngine } from './engine/fake.ts'
import { createGatewayTokens } from './gateway-tokens.ts'
import { createRuntimes } from './runtimes.ts'
import { createSigner } from './testing/gateway.ts'
import { defaults, hostId, image, ownerHash, runtime, silent, startCommand } from './testing/orders.ts'
import { createVolumes } from './volumes.ts'

const bench = async () => {
  const signer = await createSigner()
  let down = false
  const engine = fakeEngine({
    images: [image],
    fault: call => (down ? new EngineUnavailable(`the engine did not answer: ${call}`) : undefined),
  })
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
  const desk = { tokens: createGatewayTokens(signer.keys, hostId), runtimes, volumes }
  let hasJoined = true
  const app = createApp({
    desk: () => (hasJoined ? desk : undefined),
    prove: async nonce => (hasJoined ? undefined : `proof of ${nonce}`),
    log: silent,
  })
  const call = async (method: string, path: string, body?: unknown, token?: string) =>
    app.request(path, {
      method,
      headers: { authorization: `Bearer ${token ?? (await signer.command())}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
  return {
    call,
    signer,
    leave: () => {
      hasJoined = false
    },
    breakEngine: () => {
      down = true
    },
  }
}

const problemIn = async (answer: Response) => {
  assert.equal(answer.headers.get('content-type'), 'application/problem+json')
  const problem = agentProblem.parse(await answer.json())
  assert.equal(problem.status, answer.status)
  return problem
}

test('a runtime is started, read, listed, stopped and deleted', async () => {
  const { call } = await bench()
  const facts = { id: runtime, generation: 1, ownerHash, state: 'running' }
  const started = await call('PUT', `/v1/runtimes/${runtime}`, startCommand())
  assert.equal(started.status, 200)
  const { steps, ...told } = runtimeFacts.parse(await started.json())
  assert.deepEqual(told, facts)
  assert(steps)
  assert.deepEqual(await (await call('GET', `/v1/runtimes/${runtime}?probe=1`)).json(), { ...facts, healthy: true })
  assert.deepEqual(await (await call('GET', '/v1/runtimes')).json(), [facts])
  const stopped = await call('POST', `/v1/runtimes/${runtime}/stop`, { generation: 1 })
  assert.deepEqual(await stopped.json(), { ...facts, state: 'exited' })
  const command = { generation: 1, ownerHash, removeVolume: true }
  assert.equal((await call('DELETE', `/v1/runtimes/${runtime}`, command)).status, 204)
  assert.equal((await call('DELETE', `/v1/runtimes/${runtime}`, command)).status, 204)
  assert.equal((await problemIn(await call('GET', `/v1/runtimes/${runtime}`))).code, 'not-found')
})

test('only the gateway commands', async () => {
  const { call, signer } = await bench()
  for (const [method, path] of [
    ['GET', '/v1/runtimes'],
    ['GET', `/v1/runtimes/${runtime}`],
    ['PUT', `/v1/runtimes/${runtime}`],
    ['POST', `/v1/runtimes/${runtime}/stop`],
    ['DELETE', `/v1/runtimes/${runtime}`],
  ] as const) {
    for (const token of ['', 'x', await signer.hop(), await signer.command({ audience: 'host_b' })]) {
      assert.equal((await problemIn(await call(method, path, undefined, token))).code, 'unauthorized', method)
    }
  }
})

test('a body that does not fit is refused by its fields, without their values', async () => {
  const { call } = await bench()
  const path = `/v1/runtimes/${runtime}`
  const wrong = await problemIn(
    await call('PUT', path, { ...startCommand(), env: { 'A=B': 'secret-1' }, more: 'secret-2' }),
  )
  assert.equal(wrong.code, 'bad-request')
  assert.match(wrong.detail ?? '', /\/env\/A=B/)
  assert.doesNotMatch(wrong.detail ?? '', /secret-/)
  assert.equal((await problemIn(await call('PUT', path, '{'))).code, 'bad-request')
  assert.equal((await problemIn(await call('PUT', path))).code, 'bad-request')
  const large = startCommand({ env: { A: 'x'.repeat(2 ** 20) } })
  assert.match((await problemIn(await call('PUT', path, large))).detail ?? '', /larger than 1 MiB/)
})

test('an id that is none, and a route that is none, answer 404', async () => {
  const { call } = await bench()
  for (const path of ['/v1/runtimes/x', '/v1/runtimes/rt_%2e%2e', '/v1/other', '/']) {
    assert.equal((await problemIn(await call('GET', path))).code, 'not-found', path)
  }
})

test('an engine that does not answer is a 503', async () => {
  const { call, breakEngine } = await bench()
  breakEngine()
  assert.equal((await problemIn(await call('GET', '/v1/runtimes'))).code, 'engine-unavailable')
  const failed = await call('DELETE', `/v1/runtimes/${runtime}`, { generation: 1, ownerHash, removeVolume: false })
  assert.equal((await problemIn(failed)).status, 503)
})

test('the challenge is answered while joining, and commands only afterwards', async () => {
  const { call, leave } = await bench()
  const nonce = 'n'.repeat(16)
  assert.equal((await problemIn(await call('POST', '/v1/challenge', { nonce }))).code, 'not-found')
  leave()
  const answered = await call('POST', '/v1/challenge', { nonce }, '')
  assert.deepEqual(await answered.json(), { proof: `proof of ${nonce}` })
  assert.equal((await problemIn(await call('GET', '/v1/runtimes'))).code, 'keys-unavailable')
  assert.equal((await call('GET', '/healthz')).status, 200)
})
