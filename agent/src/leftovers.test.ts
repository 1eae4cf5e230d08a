import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AgentErrorCode } from '@porthole/protocol'
import type { Engine } from './engine/engine.ts'
import { EngineRefused, EngineUnavailable } from './engine/errors.ts'
import { fakeEngine } from './engine/fake.ts'
import type { Probe } from './health.ts'
import { toAgentError } from './problems.ts'
import { createRuntimes } from './runtimes.ts'
import { defaults, hostId, image, ownerHash, runtime, silent, startCommand } from './testing/orders.ts'

const name = `browser-use-browser-${ownerHash}`
const gone = new EngineUnavailable('the engine did not answer')
const refusal = new EngineRefused(500, 'could not kill it')

/** A host whose engine fails the calls that the test names, and an agent on it that can be started anew. */
const bench = () => {
  const faults: Partial<Record<keyof Engine, Error>> = {}
  let probe: Probe = async () => ({ ok: true })
  const engine = fakeEngine({ images: [image], fault: call => faults[call] })
  const agent = () =>
    createRuntimes({
      ...{ engine, hostId, defaults, reach: 'bridge', startsAtOnce: 4, log: silent },
      probe: (target, signal) => probe(target, signal),
    })
  const statuses = async () => (await engine.list({})).map(({ status }) => status)
  const neverReady = () => {
    probe = async () => ({ ok: false, why: 'ECONNREFUSED' })
  }
  return { engine, faults, agent, statuses, neverReady }
}

const endsIn = (code: AgentErrorCode) => (error: unknown) => {
  // As the gateway is told of it.
  assert.equal(toAgentError(error).code, code)
  return true
}

test('what an earlier attempt has left is removed before a start', async () => {
  const { engine, agent, statuses } = bench()
  await agent().start(runtime, startCommand())
  engine.exit(name, 1)
  const first = engine.requestOf(name)?.env.PORTHOLE_KEY
  // By an agent that was not there, of the same generation and of the next.
  assert.equal((await agent().start(runtime, startCommand())).state, 'running')
  assert.notEqual(engine.requestOf(name)?.env.PORTHOLE_KEY, first)
  assert.equal((await agent().start(runtime, startCommand({ generation: 2 }))).generation, 2)
  assert.deepEqual(await statuses(), ['running'])
})

for (const [what, fault] of [
  ['is away', gone],
  ['refuses', refusal],
] as const) {
  test(`a start whose engine ${what} when it clears away what was left ends in doubt`, async () => {
    const { faults, agent, statuses } = bench()
    await agent().start(runtime, startCommand())
    faults.remove = fault
    await assert.rejects(agent().start(runtime, startCommand({ generation: 2 })), endsIn('engine-unavailable'))
    faults.stop = fault
    await assert.rejects(agent().start(runtime, startCommand({ generation: 3 })), endsIn('engine-unavailable'))
    delete faults.remove
    delete faults.stop
    assert.equal((await statuses()).length, 1)
    assert.equal((await agent().start(runtime, startCommand({ generation: 4 }))).generation, 4)
    assert.deepEqual(await statuses(), ['running'])
  })

  test(`a failed start whose engine ${what} when it clears its own container away ends in doubt`, async () => {
    const { faults, agent, statuses, neverReady } = bench()
    neverReady()
    faults.remove = fault
    await assert.rejects(agent().start(runtime, startCommand({ deadlineMs: 50 })), endsIn('engine-unavailable'))
    assert.deepEqual(await statuses(), ['running'])
    delete faults.remove
    await agent().stop(runtime, { generation: 1 })
    assert.deepEqual(await statuses(), [])
  })

  test(`a start whose engine ${what} before it runs, and then its removal, ends in doubt`, async () => {
    const { faults, agent, statuses } = bench()
    faults.start = fault
    faults.remove = fault
    await assert.rejects(agent().start(runtime, startCommand()), endsIn('engine-unavailable'))
    assert.deepEqual(await statuses(), ['created'])
  })

  test(`a runtime that is up while its engine ${what} is left as it is, in doubt`, async () => {
    const { faults, agent, statuses } = bench()
    await agent().start(runtime, startCommand())
    faults.inspect = fault
    await assert.rejects(agent().start(runtime, startCommand()), endsIn('engine-unavailable'))
    assert.deepEqual(await statuses(), ['running'])
  })
}

test('a start that fails and leaves nothing says why, and not that the engine is away', async () => {
  const { agent, faults, neverReady, statuses } = bench()
  faults.start = refusal
  await assert.rejects(agent().start(runtime, startCommand()), endsIn('engine-refused'))
  delete faults.start
  neverReady()
  await assert.rejects(agent().start(runtime, startCommand({ generation: 2, deadlineMs: 50 })), endsIn('not-ready'))
  assert.deepEqual(await statuses(), [])
})
