import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import Docker from 'dockerode'
import { realEngine } from '../testing/config.ts'
import { dockerEngine } from './docker.ts'
import { engineCases } from './engine-cases.ts'
import { EngineRefused } from './errors.ts'

const { address, image } = await realEngine()
const engine = dockerEngine(address)
const docker = new Docker(address)
const shell = ['/bin/sh', '-c']
const network = `porthole-test-${randomBytes(4).toString('hex')}`
const open = `${network}-open`
const twin = `${network}-twin`

engineCases(async () => ({
  engine,
  down: dockerEngine({ socketPath: '/nonexistent/docker.sock' }),
  image,
  runOn: { entrypoint: shell, command: ['trap "exit 0" TERM; while :; do sleep 1 & wait $!; done'] },
  writeAndEnd: (lines, exitCode) => ({
    entrypoint: shell,
    command: [`printf '%s\\n' ${lines.join(' ')}; exit ${exitCode}`],
  }),
  network,
  timeout: 60_000,
}))

test('a network that lets containers talk to each other is refused', async () => {
  await docker.createNetwork({ Name: open })
  await assert.rejects(engine.ensureNetwork(open, {}), EngineRefused)
})

test('agents that make a network at the same moment end up with one', async () => {
  const engines = Array.from({ length: 4 }, () => dockerEngine(address))
  const labels = { 'porthole.test': twin }
  await Promise.all(engines.flatMap(one => [one.ensureNetwork(twin, labels), one.ensureNetwork(twin, labels)]))
  assert.equal((await docker.listNetworks({ filters: { name: [twin] } })).length, 1)
})

test('GPUs are taken by the engine as it takes those of docker run', async () => {
  const name = `${network}-gpus`
  const id = await engine.create({
    ...{ name, image, env: {}, labels: {}, network: 'none', volumes: [], tmpfs: {}, readOnlyRoot: true },
    ...{ shmBytes: 2 ** 20, memoryBytes: 2 ** 27, cpus: 0.1, pids: 8, seccomp: 'default', publish: [], gpus: ['1'] },
  })
  try {
    // Never started: this machine may have none.
    const { HostConfig } = await docker.getContainer(id).inspect()
    const [asked, more] = HostConfig.DeviceRequests ?? []
    assert.deepEqual([asked?.DeviceIDs, asked?.Count, asked?.Capabilities, more], [['1'], 0, [['gpu']], undefined])
  } finally {
    await engine.remove(id)
  }
})

test('a container of low weight is made so, and is given the usual one', async () => {
  const weight = async () => (await docker.getContainer(id).inspect()).HostConfig.CpuShares
  const id = await engine.create({
    ...{ name: `${network}-weight`, image, env: {}, labels: {}, network: 'none', volumes: [], tmpfs: {} },
    ...{ readOnlyRoot: true, shmBytes: 2 ** 20, memoryBytes: 2 ** 27, cpus: 0.1, cpuShares: 64, pids: 8 },
    ...{ seccomp: 'default', publish: [] },
  })
  try {
    assert.equal(await weight(), 64)
    await engine.setWeight(id, 1024)
    assert.equal(await weight(), 1024)
  } finally {
    await engine.remove(id)
  }
})

after(async () => {
  for (const name of [network, open, twin]) await docker.getNetwork(name).remove()
})
