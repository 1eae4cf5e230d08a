import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAdmission, freeBytes } from './admission.ts'
import { fakeEngine } from './engine/fake.ts'
import { AgentError } from './problems.ts'
import { createRuntimes } from './runtimes.ts'
import { defaults, hostId, image, laterRuntime, runtime, silent, startCommand } from './testing/orders.ts'

const host = ({ slots = 1, free = async () => 2 ** 40 }: { slots?: number; free?: typeof freeBytes }) => {
  const engine = fakeEngine({ images: [image] })
  const admission = createAdmission({ engine, hostId, config: { slots, minFreeDiskBytes: 2 ** 30 }, free })
  const probe = async () => ({ ok: true }) as const
  const reach = 'bridge'
  const runtimes = createRuntimes({ engine, probe, admission, hostId, defaults, reach, startsAtOnce: 2, log: silent })
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

test('free space is read where there is some, and is unknown where there is no such path', async () => {
  assert(((await freeBytes('/')) ?? 0) > 0)
  assert.equal(await freeBytes('/no/such/path'), undefined)
})
