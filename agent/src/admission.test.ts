import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAdmission, freeBytes } from './admission.ts'
import { parseConfig } from './config.ts'
import { containerName, volumeName } from './containers.ts'
import { fakeEngine } from './engine/fake.ts'
import { createInventory } from './inventory.ts'
import { AgentError } from './problems.ts'
import { createRuntimes } from './runtimes.ts'
import { defaults, hostId, image, laterRuntime, recipe, runtime, silent, startCommand } from './testing/orders.ts'

type Host = { slots?: number; gpus?: number; free?: typeof freeBytes }

const host = ({ slots = 1, gpus = 0, free = async () => 2 ** 40 }: Host) => {
  const engine = fakeEngine({ images: [image] })
  const admission = createAdmission({ engine, hostId, config: { slots, gpus, minFreeDiskBytes: 2 ** 30 }, free })
  const probe = async () => ({ ok: true }) as const
  const reach = 'bridge'
  const runtimes = createRuntimes({ engine, probe, admission, hostId, defaults, reach, startsAtOnce: 4, log: silent })
  return { engine, runtimes }
}

const isRefusal = (detail: RegExp) => (error: unknown) => {
  assert(error instanceof AgentError)
  assert.equal(error.code, 'no-room')
  assert.match(error.message, detail)
  return true
}

test('a host whose slots are taken refuses a further start, makes nothing, and says so', async () => {
  const { engine, runtimes } = host({ slots: 1 })
  await runtimes.start(runtime, startCommand())
  const other = startCommand({ ownerHash: 'fedcba9876543210' })
  await assert.rejects(runtimes.start(laterRuntime, other), isRefusal(/all of its 1 slots/))
  assert.equal((await engine.list({})).length, 1)
  assert.equal(engine.volumes.size, 1)
})

test('a start that is sent again is not refused by what it has made itself', async () => {
  const { runtimes } = host({ slots: 1 })
  await runtimes.start(runtime, startCommand())
  assert.equal((await runtimes.start(runtime, startCommand())).state, 'running')
})

test('a host whose disk is full refuses, and one that cannot tell does not', async () => {
  const full = host({ free: async () => 2 ** 30 - 1 })
  await assert.rejects(full.runtimes.start(runtime, startCommand()), isRefusal(/1023 MiB are free, 1024 are kept/))
  const silentOne = host({ free: async () => undefined })
  assert.equal((await silentOne.runtimes.start(runtime, startCommand())).state, 'running')
})

describe('GPUs', () => {
  const owners = ['00', '11', '22', '33'].map(digits => digits.repeat(8))
  const ids = [...'ABCD'].map(letter => `rt_01K0000000000000000000000${letter}`)
  const start = ({ runtimes }: ReturnType<typeof host>, n: number, gpus: number, generation = 1) =>
    runtimes.start(
      ids[n] ?? '',
      startCommand({ generation, ownerHash: owners[n] ?? '', recipe: recipe(gpus ? { gpus } : {}) }),
    )
  const given = ({ engine }: ReturnType<typeof host>, n: number) =>
    engine.requestOf(containerName(defaults, owners[n] ?? ''))?.gpus

  test('are given to one container each, however many start at once', async () => {
    const one = host({ slots: 9, gpus: 3 })
    await Promise.all([start(one, 0, 1), start(one, 1, 2), start(one, 2, 0)])
    assert.deepEqual([...(given(one, 0) ?? []), ...(given(one, 1) ?? [])].toSorted(), ['0', '1', '2'])
    assert.deepEqual(given(one, 2), [])
    await assert.rejects(start(one, 3, 1), isRefusal(/0 of its GPUs are free, 1 are needed/))
    assert.equal(given(one, 3), undefined)
    assert.equal(one.engine.volumes.has(volumeName(defaults, owners[3] ?? '')), false)
  })

  test('are free again when their container has ended, for a new generation of it too', async () => {
    const one = host({ slots: 9, gpus: 1 })
    await start(one, 0, 1)
    await start(one, 0, 1, 2)
    assert.deepEqual(given(one, 0), ['0'])
    await assert.rejects(start(one, 1, 1), isRefusal(/0 of its GPUs/))
    await one.runtimes.stop(ids[0] ?? '', { generation: 2 })
    await start(one, 1, 1)
    assert.deepEqual(given(one, 1), ['0'])
  })

  test('are remembered by an agent that has started again, from labels', async () => {
    const one = host({ slots: 9, gpus: 2 })
    await start(one, 0, 1)
    const config = { slots: 9, gpus: 2, minFreeDiskBytes: 0 }
    const next = createAdmission({ engine: one.engine, hostId, config })
    assert.deepEqual(await next.withGpus(1, async gpus => gpus), ['1'])
  })

  test('cannot be had by naming them in an environment', async () => {
    const one = host({ slots: 9, gpus: 2 })
    await one.runtimes.start(
      ids[0] ?? '',
      startCommand({ ownerHash: owners[0] ?? '', env: { NVIDIA_VISIBLE_DEVICES: 'all' } }),
    )
    const env = one.engine.requestOf(containerName(defaults, owners[0] ?? ''))?.env
    assert.equal(env?.NVIDIA_VISIBLE_DEVICES, undefined)
  })

  test('are offered to the gateway as many as the settings say', async () => {
    const config = parseConfig({ PORTHOLE_GATEWAY_URL: 'http://127.0.0.1:1', PORTHOLE_GPUS: '2' })
    const engine = fakeEngine({ images: [image] })
    const inventory = createInventory({ engine, list: async () => [], config, free: async () => 1, log: silent })
    assert.equal((await inventory.take()).capacity.gpus, 2)
  })
})

test('free space is read where there is some, and is unknown where there is no such path', async () => {
  assert(((await freeBytes('/')) ?? 0) > 0)
  assert.equal(await freeBytes('/no/such/path'), undefined)
})
