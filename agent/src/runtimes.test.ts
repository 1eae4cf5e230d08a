import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AgentErrorCode } from '@porthole/protocol'
import type { Engine } from './engine/engine.ts'
import { EngineUnavailable } from './engine/errors.ts'
import { type FakeOptions, fakeEngine } from './engine/fake.ts'
import type { Health, Probe } from './health.ts'
import { AgentError } from './problems.ts'
import { createRuntimes } from './runtimes.ts'
import {
  defaults,
  hostId,
  image,
  laterRuntime,
  ownerHash,
  recipe,
  runtime,
  silent,
  startCommand,
} from './testing/orders.ts'

const name = `browser-use-browser-${ownerHash}`
const volume = `browser-use-profile-${ownerHash}`
const answering: Probe = async () => ({ ok: true })
const silentProbe: Probe = async () => ({ ok: false, why: 'ECONNREFUSED' })

const host = (options: FakeOptions & { probe?: Probe; startsAtOnce?: number } = {}) => {
  const engine = fakeEngine({ images: [image], ...options })
  const over = (on: Engine = engine, probe: Probe = options.probe ?? answering) =>
    createRuntimes({
      engine: on,
      probe,
      hostId,
      defaults,
      reach: 'bridge',
      startsAtOnce: options.startsAtOnce ?? 4,
      log: silent,
    })
  return { engine, runtimes: over(), over }
}

/** Waits, without a clock, until what other calls have set going has got that far. */
const until = async (isSo: () => boolean) => {
  for (let turn = 0; turn < 10_000; turn++) {
    if (isSo()) return
    await new Promise(resolve => setImmediate(resolve))
  }
  throw new Error('it never came to that')
}

const failsWith =
  (code: AgentErrorCode, more: (error: AgentError) => void = () => undefined) =>
  (error: unknown) => {
    assert.ok(error instanceof AgentError, String(error))
    assert.equal(error.code, code)
    more(error)
    return true
  }

test('a start makes volume and container, and answers once the health check is good', async () => {
  const answers: Health[] = [
    { ok: false, why: 'ECONNREFUSED' },
    { ok: false, why: 'status 503' },
  ]
  const asked: Parameters<Probe>[0][] = []
  const probe: Probe = async target => {
    asked.push(target)
    return answers.shift() ?? { ok: true, steps: { browser: 1 } }
  }
  const { engine, runtimes } = host({ probe })
  const { steps = {}, ...facts } = await runtimes.start(runtime, startCommand())
  assert.deepEqual(facts, { id: runtime, generation: 1, ownerHash, state: 'running' })
  assert.deepEqual(Object.keys(steps).sort(), ['answer', 'browser', 'create', 'prepare', 'start', 'turn', 'volume'])
  assert.equal(asked.length, 3)
  assert.equal(asked[0]?.waits, true)
  assert.equal(asked[0]?.origin, 'http://127.0.0.1:8787')
  assert.equal(asked[0]?.path, '/health')
  assert.equal(asked[0]?.key, engine.requestOf(name)?.env.PORTHOLE_KEY)
  assert.equal(engine.volumes.get(volume)?.['browser_use.owner_hash'], ownerHash)
  assert.deepEqual(await runtimes.list(), [facts])
})

test('repeated starts of one generation make one container', async () => {
  const { engine, runtimes } = host()
  const starts = Array.from({ length: 20 }, () => runtimes.start(runtime, startCommand()))
  await Promise.all(starts)
  await runtimes.start(runtime, startCommand())
  assert.equal(engine.calls.filter(call => call === 'create').length, 1)
})

test('a runtime that is already up answers although every place for starts is taken', async () => {
  const probe: Probe = async ({ path }) => (path === '/never' ? { ok: false, why: 'not yet' } : { ok: true })
  const { engine, runtimes } = host({ startsAtOnce: 1, probe })
  await runtimes.start(runtime, startCommand())
  const never = recipe({ health: { port: 'rpc', path: '/never' } })
  const other = assert.rejects(
    runtimes.start(laterRuntime, startCommand({ ownerHash: 'f'.repeat(16), recipe: never })),
    failsWith('wrong-state'),
  )
  await until(() => engine.calls.filter(call => call === 'create').length === 2)
  assert.equal((await runtimes.start(runtime, startCommand())).state, 'running')
  await runtimes.delete(laterRuntime, { generation: 1, ownerHash: 'f'.repeat(16), removeVolume: true })
  await other
})

test('a start that was overtaken has no effect', async () => {
  const { engine, runtimes } = host()
  await runtimes.start(runtime, startCommand({ generation: 2 }))
  const created = engine.calls.filter(call => call === 'create').length
  await assert.rejects(runtimes.start(runtime, startCommand({ generation: 1 })), failsWith('stale-generation'))
  await assert.rejects(runtimes.stop(runtime, { generation: 1 }), failsWith('stale-generation'))
  await assert.rejects(
    runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume: true }),
    failsWith('stale-generation'),
  )
  assert.equal(engine.calls.filter(call => call === 'create').length, created)
  assert.equal((await runtimes.inspect(runtime, { probe: false })).generation, 2)
})

test('after a restart of the agent the labels still refuse an older generation', async () => {
  const { runtimes, over } = host()
  await runtimes.start(runtime, startCommand({ generation: 5 }))
  const restarted = over()
  await assert.rejects(restarted.start(runtime, startCommand({ generation: 4 })), failsWith('stale-generation'))
  await assert.rejects(restarted.stop(runtime, { generation: 4 }), failsWith('stale-generation'))
  await assert.rejects(
    restarted.delete(runtime, { generation: 4, ownerHash, removeVolume: true }),
    failsWith('stale-generation'),
  )
})

test('a start that comes after the delete of its generation is refused', async () => {
  const { engine, runtimes } = host()
  await runtimes.start(runtime, startCommand())
  await runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume: false })
  await assert.rejects(runtimes.start(runtime, startCommand()), failsWith('stale-generation'))
  assert.equal(engine.requestOf(name), undefined)
  assert.equal((await runtimes.start(runtime, startCommand({ generation: 2 }))).state, 'running')
})

test('a new generation replaces the container and keeps the volume', async () => {
  const { engine, runtimes } = host()
  await runtimes.start(runtime, startCommand())
  const first = engine.requestOf(name)?.env.PORTHOLE_KEY
  const facts = await runtimes.start(runtime, startCommand({ generation: 2 }))
  assert.equal(facts.generation, 2)
  assert.ok(engine.calls.indexOf('stop') < engine.calls.lastIndexOf('create'), 'the old one was stopped, not killed')
  assert.notEqual(engine.requestOf(name)?.env.PORTHOLE_KEY, first)
  assert.equal(engine.calls.filter(call => call === 'removeVolume').length, 0)
})

test('a newer start ends the wait of an older one', async () => {
  const { runtimes } = host({ probe: async () => ({ ok: ready, why: 'not yet' }) as Health })
  let ready = false
  const first = runtimes.start(runtime, startCommand())
  const refused = assert.rejects(first, failsWith('stale-generation'))
  ready = true
  const second = await runtimes.start(runtime, startCommand({ generation: 2 }))
  await refused
  assert.equal(second.generation, 2)
})

test('a container that ends is an error at once, with its exit code and a log without secrets', async () => {
  const secret = 'correct horse battery'
  const { engine, runtimes } = host({
    probe: silentProbe,
    program: ({ env }) => ({
      exitCode: 3,
      log: [
        ...Array.from({ length: 50 }, (_, line) => `line ${line}`),
        `key ${env.PORTHOLE_KEY}`,
        `token ${env.TOKEN}`,
        'mode on',
      ],
    }),
  })
  const command = startCommand({ env: { TOKEN: secret, MODE: 'on' }, deadlineMs: 60_000 })
  await assert.rejects(
    runtimes.start(runtime, command),
    failsWith('runtime-exited', ({ facts }) => {
      assert.equal(facts.exitCode, 3)
      const lines = facts.logTail?.trimEnd().split('\n') ?? []
      assert.equal(lines.length, 40)
      assert.deepEqual(lines.slice(-3), ['key [hidden]', 'token [hidden]', 'mode on'])
    }),
  )
  assert.equal(engine.requestOf(name), undefined)
  assert.ok(engine.volumes.has(volume))
})

test('a runtime that is not ready by its deadline is removed, and the error tells the last failure', async () => {
  const { engine, runtimes } = host({ probe: silentProbe, program: () => ({ log: ['still trying'] }) })
  await assert.rejects(
    runtimes.start(runtime, startCommand({ deadlineMs: 80 })),
    failsWith('not-ready', ({ facts }) => {
      assert.equal(facts.detail, 'last health check: ECONNREFUSED')
      assert.equal(facts.logTail, 'still trying\n')
    }),
  )
  assert.equal(engine.requestOf(name), undefined)
})

test('a container without a health check is ready as soon as it runs', async () => {
  const command = startCommand({ recipe: recipe({ health: null, volumePath: null }) })
  const { engine, runtimes } = host({ probe: silentProbe })
  assert.equal((await runtimes.start(runtime, command)).state, 'running')
  assert.equal(engine.volumes.size, 0)
})

test("somebody else's container or volume of that name is never touched", async () => {
  const { engine, runtimes } = host()
  await engine.ensureNetwork('browser-net', {})
  const foreign = { ...foreignRequest, name, image }
  const id = await engine.create(foreign)
  await engine.start(id)
  await assert.rejects(runtimes.start(runtime, startCommand()), failsWith('name-taken'))
  await runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume: true })
  assert.equal((await engine.inspect(id))?.status, 'running')

  const second = host()
  await second.engine.ensureVolume(volume, { 'browser_use.runtime': 'true', 'browser_use.owner_hash': ownerHash })
  await assert.rejects(second.runtimes.start(runtime, startCommand()), failsWith('name-taken'))
  await second.runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume: true })
  assert.ok(second.engine.volumes.has(volume))
})

const foreignRequest = {
  env: {},
  labels: {},
  network: 'browser-net',
  volumes: [],
  tmpfs: {},
  readOnlyRoot: false,
  shmBytes: 1,
  memoryBytes: 1,
  cpus: 1,
  pids: 1,
  seccomp: 'default' as const,
  publish: [],
}

test("another tenant's runtime with the same hash is left alone", async () => {
  const { engine, runtimes } = host()
  await runtimes.start(runtime, startCommand())
  const other = startCommand({ tenant: 'other', generation: 9 })
  await assert.rejects(runtimes.start(laterRuntime, other), failsWith('name-taken'))
  assert.equal(engine.requestOf(name)?.labels['porthole.tenant'], 'default')
})

test("an owner's next runtime replaces what is left of the last one, never the other way round", async () => {
  const { runtimes } = host()
  await runtimes.start(runtime, startCommand({ generation: 7 }))
  assert.equal((await runtimes.start(laterRuntime, startCommand())).id, laterRuntime)
  await assert.rejects(runtimes.start(runtime, startCommand({ generation: 8 })), failsWith('stale-generation'))
  assert.deepEqual(
    (await runtimes.list()).map(({ id }) => id),
    [laterRuntime],
  )
})

test('a delete stops a browser whose profile is kept, and kills one whose profile goes too', async () => {
  for (const removeVolume of [false, true]) {
    const { engine, runtimes } = host()
    await runtimes.start(runtime, startCommand())
    await runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume })
    assert.equal(engine.calls.includes('stop'), !removeVolume)
    assert.deepEqual(await engine.list({}), [])
  }
})

test('stop removes the container, keeps the volume, and can be repeated', async () => {
  const { engine, runtimes } = host()
  await runtimes.start(runtime, startCommand())
  const stopped = { id: runtime, generation: 1, ownerHash, state: 'exited' }
  assert.deepEqual(await runtimes.stop(runtime, { generation: 1 }), stopped)
  assert.deepEqual(await runtimes.stop(runtime, { generation: 1 }), stopped)
  assert.deepEqual(await runtimes.list(), [])
  assert.ok(engine.volumes.has(volume))
  await assert.rejects(runtimes.inspect(runtime, { probe: false }), failsWith('not-found'))
  await assert.rejects(runtimes.stop(laterRuntime, { generation: 1 }), failsWith('not-found'))
})

test('delete works from any state, any number of times', async () => {
  const { engine, runtimes } = host()
  const command = { generation: 1, ownerHash, removeVolume: true }
  await runtimes.delete(runtime, command)
  await runtimes.start(laterRuntime, startCommand())
  engine.exit(name, 1)
  await runtimes.delete(laterRuntime, command)
  await runtimes.delete(laterRuntime, command)
  assert.deepEqual(await runtimes.list(), [])
  assert.equal(engine.volumes.size, 0)
})

test('deleting a starting runtime ends its start', async () => {
  const { engine, runtimes } = host({ probe: silentProbe })
  const starting = runtimes.start(runtime, startCommand({ deadlineMs: 60_000 }))
  const refused = assert.rejects(starting, failsWith('wrong-state'))
  await until(() => engine.calls.includes('waitForExit'))
  assert.equal((await runtimes.inspect(runtime, { probe: false })).state, 'starting')
  await runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume: true })
  await refused
  assert.equal(engine.requestOf(name), undefined)
  assert.equal(engine.volumes.size, 0)
})

test('an agent that was restarted goes on with what runs', async () => {
  const { engine, runtimes, over } = host()
  const { steps, ...facts } = await runtimes.start(runtime, startCommand())
  assert(steps)
  const restarted = over()
  assert.deepEqual(await restarted.list(), [facts])
  assert.deepEqual(await restarted.start(runtime, startCommand()), facts)
  assert.equal((await restarted.inspect(runtime, { probe: true })).healthy, true)
  assert.equal(engine.calls.filter(call => call === 'create').length, 1)
  assert.equal((await restarted.stop(runtime, { generation: 1 })).state, 'exited')
})

test('a paused runtime goes on when it is started again', async () => {
  const { engine, runtimes } = host()
  await runtimes.start(runtime, startCommand())
  await engine.pause((await engine.inspect(name))?.id ?? '')
  assert.equal((await runtimes.list())[0]?.state, 'paused')
  assert.equal((await runtimes.start(runtime, startCommand())).state, 'running')
  assert.equal(engine.calls.filter(call => call === 'create').length, 1)
})

test('an engine that does not answer is an error, never an absence, and costs no runtime', async () => {
  let down: (keyof Engine)[] = []
  const { engine, runtimes } = host({
    fault: call => (down.includes(call) ? new EngineUnavailable('the engine did not answer') : undefined),
  })
  const facts = await runtimes.start(runtime, startCommand())
  down = ['list', 'inspect']
  await assert.rejects(runtimes.list(), EngineUnavailable)
  await assert.rejects(runtimes.inspect(runtime, { probe: false }), EngineUnavailable)
  await assert.rejects(runtimes.start(runtime, startCommand()), EngineUnavailable)
  down = ['inspect']
  await assert.rejects(runtimes.start(runtime, startCommand()), EngineUnavailable)
  down = ['remove']
  await assert.rejects(runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume: true }), EngineUnavailable)
  down = []
  assert.ok(engine.volumes.has(volume), 'a volume outlives a container that could not be removed')
  assert.equal((await runtimes.list())[0]?.id, facts.id)
  await runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume: true })
  assert.deepEqual(await runtimes.list(), [])
})

test('a container whose start the engine refused is not left behind', async () => {
  let refuse = true
  const { engine, runtimes } = host({
    fault: call => (call === 'start' && refuse ? new EngineUnavailable('gone') : undefined),
  })
  await assert.rejects(runtimes.start(runtime, startCommand()), EngineUnavailable)
  assert.equal(engine.requestOf(name), undefined)
  refuse = false
  assert.equal((await runtimes.start(runtime, startCommand())).state, 'running')
})

test('a missing image is pulled, and is an error of its own when there is none', async () => {
  const { engine, runtimes } = host({ images: [], registry: [image] })
  await runtimes.start(runtime, startCommand())
  assert.ok(engine.calls.includes('pull'))
  const without = host({ images: [] })
  await assert.rejects(without.runtimes.start(runtime, startCommand()), failsWith('image-missing'))
})

test('starts wait for a place in the order they came, and the wait counts towards the deadline', async () => {
  const order: string[] = []
  const open = Promise.withResolvers<void>()
  const { engine, runtimes } = host({
    startsAtOnce: 1,
    probe: async (_target, signal) => {
      await Promise.race([
        open.promise,
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      ])
      return { ok: true }
    },
  })
  const ids = ['C', 'D', 'E'].map(last => `rt_01K0000000000000000000000${last}`)
  const starts = ids.map((id, at) =>
    runtimes
      .start(id, startCommand({ ownerHash: String(at).repeat(16), deadlineMs: id.endsWith('D') ? 50 : 10_000 }))
      .then(() => order.push(id)),
  )
  await assert.rejects(starts[1] ?? Promise.resolve(), failsWith('not-ready'))
  assert.equal(engine.calls.filter(call => call === 'create').length, 1)
  open.resolve()
  await Promise.all([starts[0], starts[2]])
  assert.deepEqual(order, [ids[0], ids[2]])
})

test('commands for one runtime wait in a line with an end', async () => {
  const { runtimes } = host({ probe: silentProbe })
  const generations = Array.from({ length: 30 }, (_, at) => at + 1)
  const results = await Promise.allSettled(generations.map(generation => runtimes.stop(runtime, { generation })))
  const codes = results.map(result =>
    result.status === 'rejected' && result.reason instanceof AgentError ? result.reason.code : 'ok',
  )
  assert.ok(codes.includes('busy'))
})

test('a pause freezes, a resume lets go on, and both are idempotent', async () => {
  const { engine, runtimes } = host()
  await runtimes.start(runtime, startCommand())
  const statusOf = async () => (await engine.list({}))[0]?.status
  for (let time = 0; time < 2; time++)
    assert.deepEqual(await runtimes.pause(runtime, { generation: 1 }), {
      id: runtime,
      generation: 1,
      ownerHash,
      state: 'paused',
    })
  assert.equal(await statusOf(), 'paused')
  for (let time = 0; time < 2; time++)
    assert.equal((await runtimes.resume(runtime, { generation: 1 })).state, 'running')
  assert.equal(await statusOf(), 'running')
})

test('a pause of an old, an ended or an unknown generation changes nothing', async () => {
  const { engine, runtimes } = host()
  await assert.rejects(runtimes.pause(runtime, { generation: 1 }), failsWith('not-found'))
  await runtimes.start(runtime, startCommand({ generation: 2 }))
  await assert.rejects(runtimes.pause(runtime, { generation: 1 }), failsWith('stale-generation'))
  assert.equal((await engine.list({}))[0]?.status, 'running')
  await runtimes.stop(runtime, { generation: 2 })
  await assert.rejects(runtimes.resume(runtime, { generation: 2 }), failsWith('stale-generation'))
})

test('a pause after the agent has started anew still refuses an older generation than the container is of', async () => {
  const { runtimes, over } = host()
  await runtimes.start(runtime, startCommand({ generation: 3 }))
  await assert.rejects(over().pause(runtime, { generation: 2 }), failsWith('stale-generation'))
})

test('a runtime that is starting cannot be paused', async () => {
  const asked = Promise.withResolvers<void>()
  const ready = Promise.withResolvers<Health>()
  const probe: Probe = () => {
    asked.resolve()
    return ready.promise
  }
  const { runtimes } = host({ probe })
  const starting = runtimes.start(runtime, startCommand())
  await asked.promise
  await assert.rejects(runtimes.pause(runtime, { generation: 1 }), failsWith('wrong-state'))
  ready.resolve({ ok: true })
  assert.equal((await starting).state, 'running')
})

test('a paused runtime can be stopped', async () => {
  const { engine, runtimes } = host()
  await runtimes.start(runtime, startCommand())
  await runtimes.pause(runtime, { generation: 1 })
  await runtimes.stop(runtime, { generation: 1 })
  assert.deepEqual(await engine.list({}), [])
})

test('a discard takes the container of just that generation, and its volume stays', async () => {
  const { engine, runtimes } = host()
  await runtimes.start(runtime, startCommand({ generation: 2 }))
  assert.equal(await runtimes.discard(runtime, 1), false)
  assert.equal((await engine.list({})).length, 1)
  assert.equal(await runtimes.discard(runtime, 2), true)
  assert.deepEqual(await engine.list({}), [])
  assert(engine.volumes.has(volume))
})

test('a discard leaves alone what is starting', async () => {
  const asked = Promise.withResolvers<void>()
  const ready = Promise.withResolvers<Health>()
  const probe: Probe = () => {
    asked.resolve()
    return ready.promise
  }
  const { engine, runtimes } = host({ probe })
  const starting = runtimes.start(runtime, startCommand())
  await asked.promise
  assert.equal(await runtimes.discard(runtime, 1), false)
  ready.resolve({ ok: true })
  await starting
  assert.equal((await engine.list({})).length, 1)
})

test('asked for a runtime’s health it also says how long ago it was used: what the container tells, and its other ports', async () => {
  let told: number | undefined = 5000
  let isWell = true
  const probe: Probe = async () => {
    const unused = told === undefined ? {} : { unusedMs: told }
    return isWell ? { ok: true, ...unused } : { ok: false, why: 'status 503', ...unused }
  }
  const engine = fakeEngine({ images: [image] })
  const asked: unknown[] = []
  const uses = {
    unusedMs: ({ id }: { id: string }, said: number | undefined) => {
      asked.push([id, said])
      return said ?? 7
    },
  }
  const runtimes = createRuntimes({
    engine,
    probe,
    uses,
    hostId,
    defaults,
    reach: 'bridge',
    startsAtOnce: 1,
    log: silent,
  })
  await runtimes.start(runtime, startCommand())
  assert.equal((await runtimes.inspect(runtime, { probe: true })).unusedMs, 5000)
  told = undefined
  assert.equal((await runtimes.inspect(runtime, { probe: true })).unusedMs, 7)
  assert.deepEqual(asked, [
    [runtime, 5000],
    [runtime, undefined],
  ])
  assert.equal((await runtimes.inspect(runtime, { probe: false })).unusedMs, undefined)
  isWell = false
  told = 4000
  const ill = await runtimes.inspect(runtime, { probe: true })
  assert.deepEqual([ill.healthy, ill.unusedMs], [false, 4000])
  await runtimes.pause(runtime, { generation: 1 })
  assert.equal((await runtimes.inspect(runtime, { probe: true })).unusedMs, undefined, 'a frozen one is asked nothing')
})
