import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { pino } from 'pino'
import { eventually } from '../../test/kit/eventually.ts'
import { EngineRefused } from './engine/errors.ts'
import { type FakeOptions, fakeEngine } from './engine/fake.ts'
import { ofHost } from './labels.ts'
import { createRuntimes } from './runtimes.ts'
import { swapPaused, swapPausedHere } from './swap-out-engine.ts'
import { fakeKernel, filesOfV1, swaps } from './swap-out-testing.ts'
import { defaults, hostId, image, ownerHash, runtime, silent, startCommand } from './testing/orders.ts'

const one = { generation: 1 }

/** A host with a runtime, and what its engine and swap are told, in order. */
const bench = async (options: FakeOptions = {}) => {
  const told: string[] = []
  const plain = fakeEngine({ images: [image], ...options })
  const engine = swapPaused(
    {
      ...plain,
      pause: async id => plain.pause(id).then(() => void told.push('pause')),
      unpause: async id => plain.unpause(id).then(() => void told.push('unpause')),
      stop: async (id, seconds) => plain.stop(id, seconds).then(() => void told.push('stop')),
      remove: async id => plain.remove(id).then(() => void told.push('remove')),
    },
    {
      begin: id => {
        told.push(`begin ${id}`)
        // Nobody may wait for it.
        return new Promise(() => undefined)
      },
      stop: id => void told.push(`stop ${id}`),
    },
  )
  const runtimes = createRuntimes({
    ...{ engine, hostId, defaults, reach: 'bridge', startsAtOnce: 1, log: silent },
    probe: async () => ({ ok: true }),
  })
  await runtimes.start(runtime, startCommand())
  const container = (await engine.list({}))[0]?.id ?? assert.fail('it has started')
  told.length = 0
  return { runtimes, told, container }
}

test('a pause is answered before anything is written, and a resume stops that before it lets go on', async () => {
  const { runtimes, told, container } = await bench()
  assert.equal((await runtimes.pause(runtime, one)).state, 'paused')
  assert.deepEqual(told, ['pause', `begin ${container}`])
  assert.equal((await runtimes.resume(runtime, one)).state, 'running')
  assert.deepEqual(told.slice(2), [`stop ${container}`, 'unpause'])
})

test('a paused runtime that is deleted or stopped is not written while the engine is at it', async () => {
  const { runtimes, told, container } = await bench()
  await runtimes.pause(runtime, one)
  told.length = 0
  await runtimes.stop(runtime, one)
  const stopped = `stop ${container}`
  assert.deepEqual(told, [stopped, 'unpause', stopped, 'stop', stopped, 'remove'])
})

test('what could not be paused is not written', async () => {
  const { runtimes, told } = await bench({
    fault: call => (call === 'pause' ? new EngineRefused(500, 'cannot freeze') : undefined),
  })
  await assert.rejects(runtimes.pause(runtime, one))
  assert.deepEqual(told, [])
})

test('a machine without swap is told of once, at the start', async t => {
  const kernel = await fakeKernel(t, { 'proc/swaps': swaps.none })
  const lines: string[] = []
  const log = pino({}, { write: line => void lines.push(line) })
  const { signal } = new AbortController()
  const plain = fakeEngine({ images: [image] })
  const { engine } = await swapPausedHere({ engine: plain, folders: kernel.folders, signal, log })
  assert.equal(lines.length, 1)
  assert.match(lines[0] ?? '', /PORTHOLE_SWAP_OUT.*no swap/)
  const runtimes = createRuntimes({
    ...{ engine, hostId, defaults, reach: 'bridge', startsAtOnce: 1, log: silent },
    probe: async () => ({ ok: true }),
  })
  await runtimes.start(runtime, startCommand({ ownerHash }))
  await runtimes.pause(runtime, one)
  await runtimes.resume(runtime, one)
  assert.equal(lines.length, 1)
  await kernel.write('proc/swaps', swaps.some)
  await swapPausedHere({ engine, folders: kernel.folders, signal, log })
  assert.equal(lines.length, 1)
})

test('what could not be let go on is written again', async () => {
  const { runtimes, told, container } = await bench({
    fault: call => (call === 'unpause' ? new EngineRefused(500, 'cannot thaw') : undefined),
  })
  await runtimes.pause(runtime, one)
  told.length = 0
  await assert.rejects(runtimes.resume(runtime, one))
  assert.deepEqual(told, [`stop ${container}`, `begin ${container}`])
})

/** An engine with one paused container of an agent before, whose memory is counted by plain files. */
const leftPaused = async (t: TestContext, options: FakeOptions = {}) => {
  const plain = fakeEngine({ images: [image], ...options })
  const runtimes = createRuntimes({
    ...{ engine: plain, hostId, defaults, reach: 'bridge', startsAtOnce: 1, log: silent },
    probe: async () => ({ ok: true }),
  })
  await runtimes.start(runtime, startCommand())
  await runtimes.pause(runtime, one)
  const container = (await plain.list({}))[0]?.id ?? assert.fail('it has started')
  const { pid } = (await plain.inspect(container)) ?? {}
  return { plain, container, kernel: await fakeKernel(t, filesOfV1(container, 4096, pid)) }
}

test('what an agent before this one has left paused is written, too', async t => {
  const { plain, container, kernel } = await leftPaused(t)
  const { signal } = new AbortController()
  const { beginAll } = await swapPausedHere({ engine: plain, folders: kernel.folders, signal, log: silent })
  await beginAll(ofHost(hostId))
  const written = () => kernel.read(`cgroup/memory/docker/${container}/memory.force_empty`)
  await eventually(async () => assert.equal(await written(), '0'))
})

test('an agent that ends waits until what is under way is as it should be left', async t => {
  const { plain, kernel } = await leftPaused(t)
  const asked = Promise.withResolvers<void>()
  const answered = Promise.withResolvers<void>()
  const stopping = new AbortController()
  const { beginAll, settled } = await swapPausedHere({
    engine: {
      ...plain,
      inspect: async id => {
        asked.resolve()
        await answered.promise
        return plain.inspect(id)
      },
    },
    ...{ folders: kernel.folders, signal: stopping.signal, log: silent },
  })
  await beginAll(ofHost(hostId))
  await asked.promise
  stopping.abort()
  let isSettled = false
  const ended = settled().then(() => {
    isSettled = true
  })
  await setImmediate()
  assert.equal(isSettled, false)
  answered.resolve()
  await ended
})
