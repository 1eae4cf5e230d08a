import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PersonalSettings, StartCommand } from '@porthole/protocol'
import { pino } from 'pino'
import { createBackings } from './backings.ts'
import { restoreWeights } from './claim.ts'
import { containerName, containerRequest, volumeName } from './containers.ts'
import type { Engine } from './engine/engine.ts'
import { EngineRefused, EngineUnavailable } from './engine/errors.ts'
import { fakeEngine } from './engine/fake.ts'
import type { Probe } from './health.ts'
import { toAgentError } from './problems.ts'
import { createRuntimes } from './runtimes.ts'
import { defaults, hostId, image, laterRuntime, ownerHash, recipe, runtime, startCommand } from './testing/orders.ts'
import { createVolumes } from './volumes.ts'

const warmHash = 'aaaaaaaaaaaaaaaa'
const otherHash = 'bbbbbbbbbbbbbbbb'
const taking = recipe({ personal: { port: 'rpc', path: '/personal' } })
const warm = (more: Partial<StartCommand> = {}) =>
  startCommand({ warm: true, tenant: '~warm', ownerHash: warmHash, recipe: taking, ...more })
const owners = (more: Partial<StartCommand> = {}) =>
  startCommand({ generation: 2, recipe: taking, viewUrl: 'https://p/view', env: { TOKEN: 'a-long-secret' }, ...more })

const [warmName, name] = [containerName(defaults, warmHash), containerName(defaults, ownerHash)]
const [warmVolume, volume] = [volumeName(defaults, warmHash), volumeName(defaults, ownerHash)]

/** A host, and agents on it that can be started anew. */
const bench = () => {
  const faults: Partial<Record<keyof Engine, Error>> = {}
  const engine = fakeEngine({ images: [image], fault: call => faults[call] })
  const given: { origin: string; path: string; key?: string; settings: PersonalSettings }[] = []
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: line => void lines.push(line) })
  const own = { hostId, defaults, reach: 'bridge', startsAtOnce: 1, log } as const
  const state = { probe: (async () => ({ ok: true })) as Probe, refusal: undefined as string | undefined }
  const volumes = createVolumes({ engine, hostId, defaults })
  const agent = () =>
    createRuntimes({
      ...{ engine, volumes, ...own },
      probe: (target, signal) => state.probe(target, signal),
      givePersonal: async (target, settings) => {
        given.push({ ...target, settings })
        return state.refusal
      },
    })
  const ids = async () => Object.fromEntries((await engine.list({})).map(({ id, name }) => [name, id]))
  const volumeNames = () => [...engine.volumes.keys()].toSorted()
  return { engine, faults, given, lines, log, state, agent, volumes, ids, volumeNames }
}

const endsIn = (code: string) => (error: unknown) => {
  assert.equal(toAgentError(error).code, code)
  return true
}

test('an owner is given the container that waits: name, settings and volume are theirs, and it never stopped', async () => {
  const { engine, agent, given, ids, volumeNames } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  const before = await ids()
  const { steps, ...facts } = await runtimes.start(runtime, owners())
  assert.deepEqual(facts, { id: runtime, generation: 2, ownerHash, state: 'running' })
  assert.deepEqual(Object.keys(steps ?? {}), ['claim'])
  assert.deepEqual(await ids(), { [name]: before[warmName] })
  assert.deepEqual(await runtimes.list(), [facts])
  assert.equal(engine.calls.includes('stop'), false)
  assert.deepEqual(given, [
    {
      ...{ origin: 'http://127.0.0.1:8787', path: '/personal', key: engine.requestOf(name)?.env.PORTHOLE_KEY },
      settings: { env: { TOKEN: 'a-long-secret' }, viewUrl: 'https://p/view' },
    },
  ])
  assert.deepEqual(volumeNames(), [volume, warmVolume])
  assert.deepEqual(engine.volumes.get(volume), {
    ...{ 'browser_use.runtime': 'true', 'browser_use.owner_hash': ownerHash, 'porthole.tenant': 'default' },
    ...{ 'porthole.host': hostId, 'porthole.backing': warmVolume },
  })
  assert.equal(engine.requestOf(name)?.cpuShares, 1024)
})

test('the name comes last, and nothing waits for a turn, an image or a registry', async () => {
  const { engine, agent } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  const from = engine.calls.length
  await runtimes.start(runtime, owners())
  const calls = engine.calls.slice(from)
  assert.deepEqual(calls, [
    'list',
    'imageId',
    'inspect',
    'ensureVolume',
    'listVolumes',
    'rename',
    // Whether all is there still, at the same time.
    'inspect',
    'ensureVolume',
    'listVolumes',
    'setWeight',
  ])
})

test('the same claim again, by an agent that was started since too, finds it done', async () => {
  const { engine, agent, ids } = bench()
  await agent().start(runtime, warm())
  const runtimes = agent()
  const [first, second] = await Promise.all([runtimes.start(runtime, owners()), runtimes.start(runtime, owners())])
  assert.deepEqual(first, second)
  const before = await ids()
  const { steps, ...facts } = await agent().start(runtime, owners())
  assert.deepEqual([facts.state, facts.ownerHash, steps], ['running', ownerHash, undefined])
  assert.deepEqual(await ids(), before)
  assert.equal(engine.calls.filter(call => call === 'create').length, 1)
})

for (const [call, done] of [
  ['inspect', 'nothing'],
  ['imageId', 'nothing'],
  ['ensureVolume', 'nothing'],
  ['rename', 'volume and settings'],
] as const)
  test(`a claim that breaks off when ${done} is done (${call}) is made good by the next agent`, async () => {
    const { faults, agent, ids, volumeNames, engine } = bench()
    await agent().start(runtime, warm())
    const before = await ids()
    faults[call] = new EngineUnavailable('the engine did not answer')
    await assert.rejects(agent().start(runtime, owners()), endsIn('engine-unavailable'))
    delete faults[call]
    assert.deepEqual(Object.keys(await ids()), [warmName])
    assert.equal((await agent().start(runtime, owners())).ownerHash, ownerHash)
    assert.deepEqual(await ids(), { [name]: before[warmName] })
    assert.deepEqual(volumeNames(), [volume, warmVolume])
    assert.equal(engine.calls.filter(one => one === 'create').length, 1)
  })

test('a claim whose agent dies before it has looked again is the owner’s all the same, with the usual weight', async () => {
  const { faults, agent, ids, engine, log } = bench()
  await agent().start(runtime, warm())
  assert.equal(engine.requestOf(warmName)?.cpuShares, 64)
  faults.setWeight = new EngineUnavailable('gone')
  await agent().start(runtime, owners())
  assert.equal(engine.requestOf(name)?.cpuShares, 64)
  // When the start is sent again it fails again, and so does the next agent when it boots.
  await agent().start(runtime, owners())
  await restoreWeights({ engine, hostId, log })
  assert.equal(engine.requestOf(name)?.cpuShares, 64)
  delete faults.setWeight
  await agent().start(runtime, owners())
  assert.equal(engine.requestOf(name)?.cpuShares, 1024)
  await engine.setWeight(name, 64)
  await restoreWeights({ engine, hostId, log })
  assert.equal(engine.requestOf(name)?.cpuShares, 1024)
  assert.deepEqual(Object.keys(await ids()), [name])
})

test('a claim that comes to its end while it is paused lets it go on', async () => {
  const { agent, engine } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  await runtimes.pause(runtime, { generation: 1 })
  assert.equal((await runtimes.start(runtime, owners())).state, 'running')
  assert.equal(engine.calls.filter(call => call === 'create').length, 1)
})

/** What keeps a container from being given away; afterwards the owner has one of their own. */
const misfits: Record<string, (on: ReturnType<typeof bench>) => Promise<StartCommand | undefined>> = {
  'it has ended': async ({ engine }) => void engine.exit(warmName, 1),
  'it is not well': async ({ state }) => {
    let asked = 0
    state.probe = async () => (asked++ === 0 ? { ok: false, why: 'status 503' } : { ok: true })
    return undefined
  },
  'its image is another by now': async ({ engine }) => void engine.retag(image),
  'it was made from another recipe': async () => owners({ recipe: { ...taking, memoryBytes: 2 ** 29 } }),
  'it refuses the settings': async ({ state }) => {
    state.refusal = 'status 409'
    return undefined
  },
  'the engine refuses to rename it': async ({ faults }) => {
    faults.rename = new EngineRefused(500, 'no')
    return undefined
  },
}
for (const [what, make] of Object.entries(misfits))
  test(`one that can't be given away goes with its volume, and its owner starts cold: ${what}`, async () => {
    const on = bench()
    const runtimes = on.agent()
    await runtimes.start(runtime, warm())
    const before = await on.ids()
    const command = (await make(on)) ?? owners()
    const { steps = {}, ...facts } = await runtimes.start(runtime, command)
    assert.deepEqual(facts, { id: runtime, generation: 2, ownerHash, state: 'running' })
    assert.ok('create' in steps && 'claim' in steps)
    assert.deepEqual(Object.keys(await on.ids()), [name])
    assert.notEqual((await on.ids())[name], before[warmName])
    assert.deepEqual(on.volumeNames(), [volume])
    assert.equal(on.engine.volumes.get(volume)?.['porthole.backing'], undefined)
    assert.equal(on.engine.requestOf(name)?.env.TOKEN, 'a-long-secret')
    assert.equal(on.engine.requestOf(name)?.cpuShares, undefined)
    assert.ok(!on.lines.join('').includes('a-long-secret'))
  })

test('an owner who has a profile on this host keeps it, and starts cold', async () => {
  const { agent, volumeNames, engine } = bench()
  const runtimes = agent()
  await runtimes.start(laterRuntime, warm())
  await engine.ensureVolume(volume, {
    ...{ 'browser_use.owner_hash': ownerHash, 'porthole.tenant': 'default', 'porthole.host': hostId },
  })
  const { steps = {} } = await runtimes.start(laterRuntime, owners())
  assert.ok('create' in steps)
  assert.deepEqual(volumeNames(), [volume])
})

test('two owners never have one directory, whatever has gone wrong before', async () => {
  const { agent, engine, volumeNames } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  const labels = { 'porthole.host': hostId, 'porthole.backing': warmVolume }
  await engine.ensureVolume('of-somebody-else', labels, { device: '/volumes/x' })
  assert.ok('create' in ((await runtimes.start(runtime, owners())).steps ?? {}))
  assert.equal(engine.volumes.get(volume)?.['porthole.backing'], undefined)
  // What is behind somebody's profile stays.
  assert.deepEqual(volumeNames(), [volume, warmVolume, 'of-somebody-else'])
})

test('an image that takes no settings is given away to who has none, and to nobody else', async () => {
  for (const [env, isGiven] of [
    [{}, true],
    [{ PORTHOLE_KEY: 'reserved' }, true],
    [{ A: 'b' }, false],
  ] as const) {
    const { agent, given, engine } = bench()
    const runtimes = agent()
    await runtimes.start(runtime, warm({ recipe: recipe() }))
    await runtimes.start(runtime, owners({ recipe: recipe(), env }))
    assert.equal(engine.calls.filter(call => call === 'create').length, isGiven ? 1 : 2)
    assert.deepEqual(given, [])
    assert.equal(engine.requestOf(name)?.env.A, isGiven ? undefined : 'b')
  }
})

test('a recipe without a volume is given away without one', async () => {
  const { agent, volumeNames } = bench()
  const runtimes = agent()
  const none = { ...taking, volumePath: null }
  await runtimes.start(runtime, warm({ recipe: none }))
  assert.deepEqual(Object.keys((await runtimes.start(runtime, owners({ recipe: none }))).steps ?? {}), ['claim'])
  assert.deepEqual(volumeNames(), [])
})

test("what is left of an owner's last runtime, by label or by name, is gone before they are given another", async () => {
  const { agent, ids } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  await runtimes.start(runtime, owners())
  // Its row is gone, and the owner's next runtime is another that waited.
  await runtimes.start(laterRuntime, warm({ ownerHash: otherHash }))
  const before = await ids()
  // The profile is that of the first: the second is not theirs to have.
  const { steps = {} } = await runtimes.start(laterRuntime, owners())
  assert.ok('create' in steps)
  assert.deepEqual(Object.keys(await ids()), [name])
  assert.ok(!Object.values(before).includes((await ids())[name] ?? ''))
})

test('what an owner has is no newer for its id than one that waited longer', async () => {
  const { agent, ids, engine } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  const before = await ids()
  // Of a row that is gone: this is yet to be removed.
  await engine.create(leftOver)
  assert.equal((await runtimes.start(runtime, owners())).state, 'running')
  assert.deepEqual(await ids(), { [name]: before[warmName] })
  // Without one that waits an id is as old as it says.
  await runtimes.stop(runtime, { generation: 2 })
  await runtimes.start(laterRuntime, startCommand({ generation: 3 }))
  await assert.rejects(runtimes.start(runtime, owners({ generation: 3 })), endsIn('stale-generation'))
})

/** A container of the owner's later runtime, without a volume. */
const leftOver = containerRequest(
  { hostId, id: laterRuntime, command: startCommand({ recipe: recipe({ volumePath: null }) }), key: 'k' },
  defaults,
  'bridge',
)

test('a late repeat of the start that nobody owned changes nothing for whoever has it by now', async () => {
  const { agent, ids, state } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  const asked = Promise.withResolvers<void>()
  const well = Promise.withResolvers<{ ok: true }>()
  state.probe = async () => {
    asked.resolve()
    return well.promise
  }
  const claiming = runtimes.start(runtime, owners())
  await asked.promise
  await assert.rejects(runtimes.start(runtime, warm()), endsIn('stale-generation'))
  well.resolve({ ok: true })
  assert.equal((await claiming).ownerHash, ownerHash)
  const before = await ids()
  await assert.rejects(runtimes.start(runtime, warm()), endsIn('stale-generation'))
  await assert.rejects(agent().start(runtime, warm()), endsIn('stale-generation'))
  // Nor is it given to a second one.
  await assert.rejects(agent().start(runtime, owners({ ownerHash: otherHash })), endsIn('stale-generation'))
  assert.deepEqual(await ids(), before)
})

test('a claim does not wait for a repeat of the start that nobody owned', async () => {
  const { agent, state } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  const asked = Promise.withResolvers<void>()
  state.probe = async ({ waits }, signal) => {
    if (!waits) return { ok: true }
    asked.resolve()
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const repeat = assert.rejects(runtimes.start(runtime, warm({ deadlineMs: 60_000 })), endsIn('stale-generation'))
  await asked.promise
  assert.deepEqual(Object.keys((await runtimes.start(runtime, owners())).steps ?? {}), ['claim'])
  await repeat
})

test('a claim at its deadline leaves nothing, and says that it is not ready', async () => {
  const { agent, state, ids, volumeNames } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  state.probe = (_target, signal) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  await assert.rejects(runtimes.start(runtime, owners({ deadlineMs: 50 })), endsIn('not-ready'))
  assert.deepEqual([await ids(), volumeNames()], [{}, []])
})

test('an owner stops, starts and deletes what they were given like any other', async () => {
  const { agent, ids, volumeNames, volumes } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  await runtimes.start(runtime, owners())
  for (const attempt of [() => volumes.digest({ tenant: 'default', ownerHash }), () => volumes.remove({ ownerHash })])
    await assert.rejects(attempt(), endsIn('wrong-state'))
  assert.equal((await runtimes.pause(runtime, { generation: 2 })).ownerHash, ownerHash)
  assert.deepEqual(await runtimes.stop(runtime, { generation: 2 }), {
    ...{ id: runtime, generation: 2, ownerHash, state: 'exited' },
  })
  assert.deepEqual([await ids(), volumeNames()], [{}, [volume, warmVolume]])
  assert.equal((await runtimes.start(runtime, owners({ generation: 3 }))).state, 'running')
  assert.deepEqual(volumeNames(), [volume, warmVolume])
  await runtimes.delete(runtime, { generation: 3, ownerHash, removeVolume: true })
  assert.deepEqual([await ids(), volumeNames()], [{}, []])
})

test('a profile that was adopted stays while a container that has ended still has it', async () => {
  const { agent, engine, volumes, volumeNames } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  await runtimes.start(runtime, owners())
  engine.exit(name, 1)
  await assert.rejects(volumes.remove({ ownerHash }), endsIn('wrong-state'))
  assert.deepEqual(volumeNames(), [volume, warmVolume])
})

test('a profile that was adopted moves like any other, and nobody reads it by its first name', async () => {
  const { agent, volumes } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  await runtimes.start(runtime, owners())
  await runtimes.stop(runtime, { generation: 2 })
  const owner = { tenant: 'default', ownerHash }
  const first = { tenant: '~warm', ownerHash: warmHash }
  await assert.rejects(volumes.digest(first), endsIn('name-taken'))
  await assert.rejects(volumes.remove(first), endsIn('name-taken'))
  await assert.rejects(runtimes.start(laterRuntime, warm()), endsIn('name-taken'))
  const other = createVolumes({ engine: fakeEngine({ images: [image] }), hostId, defaults })
  assert.deepEqual(await other.write(owner, await volumes.read(owner)), await volumes.digest(owner))
  const late = await other.read(owner)
  await assert.rejects(volumes.write(owner, late), endsIn('wrong-state'))
  late.destroy()
})

test('what nobody owns is removed with its volume, however it ends', async () => {
  for (const end of ['stop', 'discard', 'delete', 'delete for the owner', 'next generation'] as const) {
    const { agent, ids, volumeNames } = bench()
    const runtimes = agent()
    await runtimes.start(runtime, warm())
    if (end === 'stop') await runtimes.stop(runtime, { generation: 1 })
    if (end === 'discard') await runtimes.discard(runtime, 1)
    if (end === 'delete') await runtimes.delete(runtime, { generation: 1, ownerHash: warmHash, removeVolume: false })
    if (end === 'delete for the owner') await runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume: true })
    if (end === 'next generation') await runtimes.start(runtime, owners({ generation: 3 }))
    const left = end === 'next generation' ? [name, [volume]] : [undefined, []]
    assert.deepEqual([Object.keys(await ids())[0], volumeNames()], left, end)
  }
})

test('one that was given half away ends like its owner’s: stopped its profile stays, deleted nothing does', async () => {
  const { agent, faults, ids, volumeNames } = bench()
  await agent().start(runtime, warm())
  faults.rename = new EngineUnavailable('gone')
  await assert.rejects(agent().start(runtime, owners()), endsIn('engine-unavailable'))
  delete faults.rename
  await agent().stop(runtime, { generation: 2 })
  assert.deepEqual([await ids(), volumeNames()], [{}, [volume, warmVolume]])
  assert.equal((await agent().start(runtime, owners({ generation: 3 }))).state, 'running')
  await agent().delete(runtime, { generation: 3, ownerHash, removeVolume: true })
  assert.deepEqual([await ids(), volumeNames()], [{}, []])
})

test('a start that nobody owns and that fails leaves no volume', async () => {
  const { agent, state, volumeNames } = bench()
  state.probe = async () => ({ ok: false, why: 'never' })
  await assert.rejects(agent().start(runtime, warm({ deadlineMs: 50 })), endsIn('not-ready'))
  assert.deepEqual(volumeNames(), [])
})

test('volumes that were left behind by what never had an owner are cleared, others are not', async () => {
  const { agent, engine, volumes, volumeNames } = bench()
  const runtimes = agent()
  const labels = (host: string) => ({ 'porthole.host': host, 'porthole.warm': 'true' })
  await engine.ensureVolume('left', labels(hostId))
  await engine.ensureVolume('of-another-host', labels('host_b'))
  await runtimes.start(runtime, warm())
  await runtimes.start(runtime, owners())
  await runtimes.stop(runtime, { generation: 2 })
  await runtimes.start(laterRuntime, warm({ ownerHash: otherHash }))
  await volumes.clear()
  await createBackings(engine, hostId).drop('of-another-host')
  const expected = [volume, warmVolume, volumeName(defaults, otherHash), 'of-another-host'].toSorted()
  assert.deepEqual(volumeNames(), expected)
})

test('a delete that dies between the two volumes is made good when it is asked for again', async () => {
  const { agent, faults, engine, volumeNames } = bench()
  const runtimes = agent()
  await runtimes.start(runtime, warm())
  await runtimes.start(runtime, owners())
  faults.removeVolume = new EngineUnavailable('gone')
  const command = { generation: 2, ownerHash, removeVolume: true }
  await assert.rejects(runtimes.delete(runtime, command), endsIn('engine-unavailable'))
  assert.deepEqual(volumeNames(), [volume, warmVolume])
  delete faults.removeVolume
  await engine.removeVolume(warmVolume)
  await runtimes.delete(runtime, command)
  assert.deepEqual([...engine.volumes.keys()], [])
})

test('one that waits comes in behind everybody who has an owner', async () => {
  const { agent, state, engine } = bench()
  const runtimes = agent()
  const ready = Promise.withResolvers<{ ok: true }>()
  state.probe = () => ready.promise
  const order: string[] = []
  const third = 'rt_01K0000000000000000000000C'
  const start = (id: string, command: StartCommand) => runtimes.start(id, command).then(() => order.push(id))
  const starts = [start(runtime, owners({ ownerHash: otherHash }))]
  while (!engine.calls.includes('waitForExit')) await new Promise(resolve => setImmediate(resolve))
  starts.push(start(laterRuntime, warm()), start(third, owners()))
  ready.resolve({ ok: true })
  await Promise.all(starts)
  assert.deepEqual(order, [runtime, third, laterRuntime])
})
