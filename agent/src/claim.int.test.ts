import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import type { StartCommand } from '@porthole/protocol'
import Docker from 'dockerode'
import { agentTestLog } from '../../test/kit/logs.ts'
import { createAddresses } from './addresses.ts'
import { dockerEngine } from './engine/docker.ts'
import type { Engine } from './engine/engine.ts'
import { EngineUnavailable } from './engine/errors.ts'
import { httpProbe } from './health.ts'
import { AgentError } from './problems.ts'
import { createRuntimes } from './runtimes.ts'
import { realEngine } from './testing/config.ts'
import { runIn } from './testing/inside.ts'
import { recipe, defaults as someDefaults, startCommand } from './testing/orders.ts'
import { createVolumes } from './volumes.ts'

const { address } = await realEngine()
const engine = dockerEngine(address)
const docker = new Docker(address)
const log = agentTestLog('agent')
const run = randomBytes(4).toString('hex')
const hostId = `host_test_${run}`
const browserImage = 'browser-use-browser-runtime:latest'
const skip = !(await engine.hasImage(browserImage))
/** A tag of this run's own, which can come to stand for another image. */
const image = `porthole-test-${run}:1`
const defaults = {
  ...someDefaults,
  image,
  network: `porthole-test-${run}`,
  containerPrefix: `porthole-test-${run}-c-`,
  volumePrefix: `porthole-test-${run}-v-`,
}
const volumesOf = (on: Engine) => createVolumes({ engine: on, hostId, defaults })
const agent = (on: Engine = engine) =>
  createRuntimes({
    ...{ engine: on, probe: httpProbe(), volumes: volumesOf(on), hostId, defaults },
    ...{ reach: 'bridge', startsAtOnce: 2, log },
  })
const addresses = createAddresses({ engine, hostId, reach: 'bridge', log })

const taking = recipe({
  ...{ tmpfs: { '/tmp': 2 ** 28, '/run': 2 ** 26 }, stopSeconds: 15 },
  personal: { port: 'rpc', path: '/personal' },
})
let made = 0
/** A runtime that waits for an owner, and the owner who comes. */
const next = () => {
  const at = String(made++)
  const [warmHash, ownerHash] = ['a', 'b'].map(who => `${run}${who}${at.padStart(7, '0')}`)
  assert(warmHash && ownerHash)
  const id = `rt_01K00000000000000000000${at.padStart(3, '0')}`
  const env = { OPENAI_API_KEY: `the-secret-${run}` }
  const base: Partial<StartCommand> = { recipe: taking, deadlineMs: 60_000 }
  return {
    id,
    ownerHash,
    warm: startCommand({ ...base, warm: true, tenant: '~warm', ownerHash: warmHash }),
    owners: startCommand({ ...base, generation: 2, ownerHash, env, viewUrl: `https://p/view/${ownerHash}` }),
    warmName: `${defaults.containerPrefix}${warmHash}`,
    name: `${defaults.containerPrefix}${ownerHash}`,
    warmVolume: `${defaults.volumePrefix}${warmHash}`,
    volume: `${defaults.volumePrefix}${ownerHash}`,
    remove: (generation = 2) => agent().delete(id, { generation, ownerHash, removeVolume: true }),
  }
}

const idOf = async (name: string) => (await engine.inspect(name))?.id
const mark = '/data/profile/mark'
const write = async (name: string, text: string) => {
  assert.equal((await runIn(docker, name, ['/bin/sh', '-c', `echo ${text} > ${mark}`])).code, 0)
}
const read = async (name: string) => (await runIn(docker, name, ['cat', mark])).output.trim()
const health = async (id: string): Promise<{ status: string; viewUrl?: string }> => {
  const { origins, key = '' } = await addresses.find(id)
  const answer = await fetch(`${origins.rpc}/health`, { headers: { 'x-porthole-key': key } })
  return JSON.parse(await answer.text())
}
const leavesNothing = async ({ name, warmName, volume, warmVolume }: ReturnType<typeof next>) => {
  for (const one of [name, warmName]) assert.equal(await idOf(one), undefined)
  for (const one of [volume, warmVolume]) assert.equal(await engine.inspectVolume(one), undefined)
}

if (!skip) await docker.getImage(browserImage).tag({ repo: `porthole-test-${run}`, tag: '1' })

after(async () => {
  for (const { id } of await engine.list({ 'porthole.host': hostId })) await engine.remove(id)
  const volumes = await engine.listVolumes({ 'porthole.host': hostId })
  // Those that stand for others first.
  for (const { name } of volumes.toSorted(a => ('porthole.backing' in a.labels ? -1 : 1)))
    await engine.removeVolume(name)
  if (skip) return
  await docker.getImage(image).remove()
  await docker.getNetwork(defaults.network).remove()
})

test('an owner is given a browser that runs, with its profile, for good', { skip, timeout: 180_000 }, async () => {
  const one = next()
  const runtimes = agent()
  await runtimes.start(one.id, one.warm)
  const id = await idOf(one.warmName)
  assert(id)
  assert.equal((await docker.getContainer(id).inspect()).HostConfig.CpuShares, 64)
  assert.equal((await health(one.id)).viewUrl, undefined)
  await write(one.warmName, 'from-before')

  const { steps, ...facts } = await runtimes.start(one.id, one.owners)
  assert.deepEqual(facts, { id: one.id, generation: 2, ownerHash: one.ownerHash, state: 'running' })
  assert.deepEqual(Object.keys(steps ?? {}), ['claim'])
  assert.equal(await idOf(one.name), id)
  assert.equal(await idOf(one.warmName), undefined)
  assert.equal((await engine.inspectVolume(one.volume))?.['porthole.backing'], one.warmVolume)
  assert.deepEqual(await health(one.id).then(({ status, viewUrl }) => [status, viewUrl]), [
    ...['ready', one.owners.viewUrl],
  ])
  await write(one.name, 'from-the-owner')
  assert.equal((await agent().start(one.id, one.owners)).state, 'running')
  assert.equal(await idOf(one.name), id)
  assert.deepEqual((await agent().list()).find(({ id }) => id === one.id)?.ownerHash, one.ownerHash)
  const owner = { tenant: 'default', ownerHash: one.ownerHash }
  await assert.rejects(volumesOf(engine).digest(owner), AgentError)

  await agent().stop(one.id, { generation: 2 })
  await volumesOf(engine).clear()
  assert.ok((await volumesOf(engine).digest(owner)).files > 10)
  await agent().start(one.id, { ...one.owners, generation: 3 })
  assert.equal(await read(one.name), 'from-the-owner')
  const [mount] = (await docker.getContainer(one.name).inspect()).Mounts
  assert.equal(mount?.Name, one.volume)
  assert.equal(await engine.inspect(one.name).then(found => found?.labels['porthole.warm']), undefined)
  await one.remove(3)
  await leavesNothing(one)
})

/** An engine from whose answer to one call the agent gets nothing: it has died, before the call or after it. */
const dyingAt = (call: 'ensureVolume' | 'rename', when: 'before' | 'after'): Engine => {
  const die = async <T>(work: () => Promise<T>): Promise<T> => {
    if (when === 'after') await work()
    throw new EngineUnavailable('the agent has died')
  }
  return call === 'rename'
    ? { ...engine, rename: (...asked) => die(() => engine.rename(...asked)) }
    : { ...engine, ensureVolume: (...asked) => die(() => engine.ensureVolume(...asked)) }
}

test('a claim that died at any step is made good by the next agent, with the same container', {
  skip,
  timeout: 180_000,
}, async () => {
  for (const call of ['ensureVolume', 'rename'] as const)
    for (const when of ['before', 'after'] as const) {
      const one = next()
      await agent().start(one.id, one.warm)
      const id = await idOf(one.warmName)
      await write(one.warmName, 'from-before')
      const isGone = (error: unknown) => error instanceof EngineUnavailable
      await assert.rejects(agent(dyingAt(call, when)).start(one.id, one.owners), isGone)
      // As it does when it boots: nothing of it may be taken for left over.
      await volumesOf(engine).clear()
      await agent().start(one.id, one.owners)
      assert.equal(await idOf(one.name), id, `${when} ${call}`)
      assert.equal(await read(one.name), 'from-before')
      assert.equal((await health(one.id)).viewUrl, one.owners.viewUrl)
      await one.remove()
      await leavesNothing(one)
    }
})

test('an owner is not given a browser of an image that is out of date', { skip, timeout: 180_000 }, async () => {
  const one = next()
  await agent().start(one.id, one.warm)
  const id = await idOf(one.warmName)
  const old = docker.getContainer(one.warmName)
  const newer = await old.commit({ repo: `porthole-test-${run}`, tag: '1', comment: 'newer', pause: false })
  assert.notEqual(newer.Id, (await old.inspect()).Image)
  const { steps = {} } = await agent().start(one.id, one.owners)
  assert.ok('create' in steps)
  assert.notEqual(await idOf(one.name), id)
  assert.equal((await docker.getContainer(one.name).inspect()).Image, newer.Id)
  assert.equal(await engine.inspectVolume(one.warmVolume), undefined)
  assert.equal((await engine.inspectVolume(one.volume))?.['porthole.backing'], undefined)
  await one.remove()
  await leavesNothing(one)
})

test('an owner is not given a browser that hangs', { skip, timeout: 180_000 }, async () => {
  const one = next()
  await agent().start(one.id, one.warm)
  const id = await idOf(one.warmName)
  const halt =
    'for p in /proc/[0-9]*; do read c < $p/comm; [ "$c" = chromium ] && kill -STOP $(basename $p); done; true'
  assert.equal((await runIn(docker, one.warmName, ['/bin/sh', '-c', halt])).code, 0)
  const { steps = {}, state } = await agent().start(one.id, one.owners)
  assert.deepEqual([state, 'create' in steps], ['running', true])
  assert.notEqual(await idOf(one.name), id)
  assert.equal((await health(one.id)).status, 'ready')
  await one.remove()
  await leavesNothing(one)
})

test('what a claim takes is told', { skip, timeout: 180_000 }, async t => {
  const took: number[] = []
  const runtimes = agent()
  for (let time = 0; time < 5; time++) {
    const one = next()
    await runtimes.start(one.id, one.warm)
    const from = performance.now()
    const { steps } = await runtimes.start(one.id, one.owners)
    took.push(performance.now() - from)
    assert.deepEqual(Object.keys(steps ?? {}), ['claim'])
    await one.remove()
  }
  t.diagnostic(`milliseconds: ${took.map(Math.round).join(' ')}`)
  assert.ok(Math.min(...took) < 2000)
})
