import assert from 'node:assert/strict'
import http from 'node:http'
import { after, test } from 'node:test'
import type { Recipe } from '@porthole/protocol'
import Docker from 'dockerode'
import { agentTestLog } from '../../test/kit/logs.ts'
import { createAddresses } from './addresses.ts'
import { dockerEngine } from './engine/docker.ts'
import { httpProbe } from './health.ts'
import { AgentError } from './problems.ts'
import { createRuntimes } from './runtimes.ts'
import { realEngine } from './testing/config.ts'
import { perlServer, recipe, startCommand } from './testing/orders.ts'
import { ownHost } from './testing/run.ts'

const { address, image } = await realEngine()
const engine = dockerEngine(address)
const docker = new Docker(address)
const log = agentTestLog('agent')
const { run, hostId, defaults } = ownHost(image)
const browserImage = 'browser-use-browser-runtime:latest'
// Before the first test: they begin to run as soon as this file waits for anything.
const hasBrowser = await engine.hasImage(browserImage)
const newHost = () =>
  createRuntimes({ engine, probe: httpProbe(), hostId, defaults, reach: 'bridge', startsAtOnce: 2, log })
const runtimes = newHost()

let made = 0
const next = () => {
  const at = String(made++)
  return { id: `rt_01K00000000000000000000${at.padStart(3, '0')}`, ownerHash: `${run}${at.padStart(8, '0')}` }
}

const perl = (before = '', more: Partial<Recipe> = {}): Recipe =>
  recipe({
    entrypoint: perlServer(before),
    command: [],
    memoryBytes: 2 ** 28,
    shmBytes: 2 ** 26,
    pids: 64,
    ports: { rpc: 8787 },
    ...more,
  })

const inside = async (ownerHash: string) => docker.getContainer(`${defaults.containerPrefix}${ownerHash}`).inspect()
const volumeOf = (ownerHash: string) => engine.inspectVolume(`${defaults.volumePrefix}${ownerHash}`)

after(async () => {
  for (const { Id } of await docker.listContainers({ all: true, filters: { label: [`porthole.host=${hostId}`] } })) {
    await docker.getContainer(Id).remove({ force: true, v: true })
  }
  const { Volumes } = await docker.listVolumes({ filters: { label: [`porthole.host=${hostId}`] } })
  for (const { Name } of Volumes) await docker.getVolume(Name).remove()
  await docker.getNetwork(defaults.network).remove()
})

test('a runtime lives on a real engine: ready, confined, stopped, started again, deleted', {
  timeout: 60_000,
}, async () => {
  const { id, ownerHash } = next()
  const command = startCommand({ ownerHash, recipe: perl(), deadlineMs: 30_000 })
  const { steps, ...facts } = await runtimes.start(id, command)
  assert.deepEqual(facts, { id, generation: 1, ownerHash, state: 'running' })
  // A container that says nothing of its start.
  assert.deepEqual(Object.keys(steps ?? {}).sort(), ['answer', 'create', 'prepare', 'start', 'turn', 'volume'])
  const { Config, HostConfig, Mounts } = await inside(ownerHash)
  assert.equal(Config.Labels['browser_use.owner_hash'], ownerHash)
  assert.equal(HostConfig.ReadonlyRootfs, true)
  assert.deepEqual(HostConfig.CapDrop, ['ALL'])
  assert.equal(HostConfig.Memory, 2 ** 28)
  assert.equal(HostConfig.MemorySwap, 2 ** 28)
  assert.equal(HostConfig.PidsLimit, 64)
  assert.deepEqual(HostConfig.PortBindings, {})
  assert.deepEqual(
    Mounts.map(({ Name, Destination }) => [Name, Destination]),
    [[`${defaults.volumePrefix}${ownerHash}`, '/data']],
  )
  assert.equal((await runtimes.inspect(id, { probe: true })).healthy, true)
  assert.equal((await volumeOf(ownerHash))?.['browser_use.owner_hash'], ownerHash)

  // Another agent on the same host: what a restarted one sees.
  const restarted = newHost()
  assert.equal((await restarted.start(id, command)).state, 'running')
  await assert.rejects(restarted.stop(id, { generation: 0 }), AgentError)

  assert.equal((await runtimes.stop(id, { generation: 1 })).state, 'exited')
  assert.ok(await volumeOf(ownerHash))
  assert.equal((await runtimes.start(id, { ...command, generation: 2 })).generation, 2)
  const remove = { generation: 2, ownerHash, removeVolume: true }
  await runtimes.delete(id, remove)
  await runtimes.delete(id, remove)
  assert.equal(await volumeOf(ownerHash), undefined)
  await assert.rejects(inside(ownerHash), /404/)
})

test('a container that ends tells its exit code and log, and leaves nothing', { timeout: 60_000 }, async () => {
  const { id, ownerHash } = next()
  const failing = perl('print "token $ENV{TOKEN}\\n"; warn "no display\\n"; exit 4;')
  const command = startCommand({ ownerHash, recipe: failing, env: { TOKEN: 'a-long-secret' }, deadlineMs: 50_000 })
  await assert.rejects(runtimes.start(id, command), (error: unknown) => {
    assert.ok(error instanceof AgentError && error.code === 'runtime-exited', String(error))
    assert.equal(error.facts.exitCode, 4)
    assert.match(error.facts.logTail ?? '', /token \[hidden\]/)
    assert.match(error.facts.logTail ?? '', /no display/)
    return true
  })
  await assert.rejects(inside(ownerHash), /404/)
})

test('a container that never answers is given up at its deadline', { timeout: 60_000 }, async () => {
  const { id, ownerHash } = next()
  const command = startCommand({ ownerHash, recipe: perl('sleep 600;'), deadlineMs: 3000 })
  await assert.rejects(runtimes.start(id, command), (error: unknown) => {
    assert.ok(error instanceof AgentError && error.code === 'not-ready', String(error))
    assert.match(error.facts.detail ?? '', /ECONNREFUSED/)
    return true
  })
  await assert.rejects(inside(ownerHash), /404/)
})

test('a program that is not in the image is refused by the engine and leaves nothing', {
  timeout: 60_000,
}, async () => {
  const { id, ownerHash } = next()
  const command = startCommand({
    ownerHash,
    recipe: perl('', { entrypoint: ['/no/such/program'] }),
    deadlineMs: 30_000,
  })
  await assert.rejects(
    runtimes.start(id, command),
    (error: unknown) => error instanceof AgentError && error.code === 'engine-refused',
  )
  await assert.rejects(inside(ownerHash), /404/)
})

test('an address is known without asking until its container ends', { timeout: 60_000 }, async t => {
  const { id, ownerHash } = next()
  const stop = new AbortController()
  const addresses = createAddresses({ engine, hostId, reach: 'bridge', log })
  const ended = Promise.withResolvers<void>()
  const following = addresses.follow(stop.signal, ended.resolve)
  t.after(async () => {
    stop.abort()
    await following
  })
  await runtimes.start(id, startCommand({ ownerHash, recipe: perl(), deadlineMs: 30_000 }))
  const found = await addresses.find(id)
  assert.match(found.origins.rpc ?? '', /^http:\/\/\d+\.\d+\.\d+\.\d+:8787$/)
  const answer = await fetch(`${found.origins.rpc}/`, { headers: { 'x-porthole-key': found.key ?? '' } })
  assert.equal(answer.status, 200)
  await docker.getContainer(`${defaults.containerPrefix}${ownerHash}`).kill()
  await ended.promise
  assert.equal(found.ended.aborted, true)
  await assert.rejects(
    addresses.find(id),
    (error: unknown) => error instanceof AgentError && error.code === 'wrong-state',
  )
})

test('our browser runs confined, with its own sandbox on', { skip: !hasBrowser, timeout: 120_000 }, async () => {
  const { id, ownerHash } = next()
  const browser = recipe({ image: browserImage, tmpfs: { '/tmp': 2 ** 28, '/run': 2 ** 26 }, stopSeconds: 15 })
  await runtimes.start(id, startCommand({ ownerHash, recipe: browser, deadlineMs: 60_000 }))
  const addresses = createAddresses({ engine, hostId, reach: 'bridge', log })
  const { origins, key = '' } = await addresses.find(id)
  const origin = origins.cdp ?? assert.fail('no DevTools')
  const version = await new Promise<string>((resolve, reject) => {
    const request = http.get(`${origin}/json/version`, { headers: { 'x-porthole-key': key } }, answer => {
      answer
        .setEncoding('utf8')
        .toArray()
        .then(parts => resolve(parts.join('')), reject)
    })
    request.on('error', reject)
  })
  assert.match(version, /"Browser"/)
  const processes = await docker
    .getContainer(`${defaults.containerPrefix}${ownerHash}`)
    .top({ ps_args: '-eo pid,uid,args' })
  const chromium = processes.Processes.filter((row: string[]) => row.join(' ').includes('chromium'))
  assert.ok(chromium.length > 0)
  assert.ok(chromium.every((row: string[]) => row[1] === '1000' && !row.join(' ').includes('--no-sandbox')))
  await runtimes.delete(id, { generation: 1, ownerHash, removeVolume: true })
})
