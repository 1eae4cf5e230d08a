import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { pino } from 'pino'
import type { Container } from './engine/engine.ts'
import { EngineUnavailable } from './engine/errors.ts'
import { createSwapOut } from './swap-out.ts'
import type { MemoryGroup } from './swap-out-group.ts'
import { fakeKernel, filesOfV1, containerId as id, pid, swaps } from './swap-out-testing.ts'

const otherId = id.replaceAll('a', 'b')

/** Paused containers on a plain-file kernel, and a reclaim that lasts until the test says so. */
const bench = async (
  t: TestContext,
  more: { inspect?: (id: string) => Promise<Container | undefined>; oneMs?: number } = {},
) => {
  const kernel = await fakeKernel(t, { ...filesOfV1(id, 1000), ...filesOfV1(otherId, 2000, pid + 1) })
  const agent = new AbortController()
  const lines: Record<string, unknown>[] = []
  const log = pino({}, { write: line => void lines.push(JSON.parse(line)) })
  const paused = async (one: string): Promise<Container> => ({
    ...{ id: one, name: 'n', labels: {}, status: 'paused', env: [], published: {}, volumes: [] },
    pid: one === id ? pid : pid + 1,
  })
  const begun: { group: MemoryGroup; finish: () => void }[] = []
  let arrived = Promise.withResolvers<void>()
  const swapOut = createSwapOut({
    engine: { inspect: more.inspect ?? paused },
    folders: kernel.folders,
    signal: agent.signal,
    log,
    ...(more.oneMs === undefined ? {} : { oneMs: more.oneMs }),
    reclaim: (group, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      begun.push({ group, finish: resolve })
      arrived.resolve()
      arrived = Promise.withResolvers()
      return promise
    },
  })
  /** The next reclaim that the kernel is asked for. */
  const nextReclaim = () => arrived.promise.then(() => begun.at(-1) ?? assert.fail('none'))
  return { kernel, agent, lines, swapOut, begun, nextReclaim, paused }
}

test('a paused container is written, and one line tells what that brought', async t => {
  const { kernel, lines, swapOut, nextReclaim } = await bench(t)
  const next = nextReclaim()
  const ending = swapOut.begin(id)
  const { group, finish } = await next
  assert.equal(group.version, 1)
  await kernel.write(`cgroup/memory/docker/${id}/memory.usage_in_bytes`, '10\n')
  finish()
  assert.equal(await ending, 'swapped')
  assert.equal(lines.length, 1)
  const { container, beforeBytes, afterBytes } = lines[0] ?? {}
  assert.deepEqual({ container, beforeBytes, afterBytes }, { container: id, beforeBytes: 1000, afterBytes: 10 })
})

test('one that is wanted again is written no further', async t => {
  const { lines, swapOut, nextReclaim } = await bench(t)
  const next = nextReclaim()
  const ending = swapOut.begin(id)
  await next
  swapOut.stop(id)
  assert.equal(await ending, 'stopped')
  assert.deepEqual(lines, [])
})

test('one that is wanted before its turn is not written at all', async t => {
  const { begun, swapOut, nextReclaim } = await bench(t)
  const next = nextReclaim()
  const first = swapOut.begin(id)
  const second = swapOut.begin(otherId)
  const { finish } = await next
  swapOut.stop(otherId)
  assert.equal(await second, 'stopped')
  finish()
  assert.equal(await first, 'swapped')
  assert.equal(begun.length, 1)
})

test('containers are written one after the other', async t => {
  const { kernel, begun, swapOut, nextReclaim } = await bench(t)
  const next = nextReclaim()
  const both = [swapOut.begin(id), swapOut.begin(otherId)]
  const first = await next
  const then = nextReclaim()
  // Longer than its own way there takes.
  for (let turn = 0; turn < 50; turn++) await kernel.read('proc/swaps')
  assert.equal(begun.length, 1)
  first.finish()
  const second = await then
  assert.match(second.group.directory, new RegExp(otherId))
  second.finish()
  assert.deepEqual(await Promise.all(both), ['swapped', 'swapped'])
})

test('one that is paused again while it was being stopped is written anew, and can be stopped again', async t => {
  const { swapOut, nextReclaim } = await bench(t)
  const next = nextReclaim()
  const before = swapOut.begin(id)
  await next
  swapOut.stop(id)
  const then = nextReclaim()
  const after = swapOut.begin(id)
  assert.equal(await before, 'stopped')
  await then
  swapOut.stop(id)
  assert.equal(await after, 'stopped')
})

test('one that takes too long makes way for the next', async t => {
  // A deadline alone keeps no process running.
  const awake = setInterval(() => undefined, 1000)
  t.after(() => clearInterval(awake))
  const { begun, lines, swapOut } = await bench(t, { oneMs: 20 })
  assert.deepEqual(await Promise.all([swapOut.begin(id), swapOut.begin(otherId)]), ['stopped', 'stopped'])
  assert.equal(begun.length, 2)
  assert.match(String(lines[0]?.msg), /too slow/)
})

test('the end of the agent ends it, and nothing begins after', async t => {
  const { agent, begun, swapOut, nextReclaim } = await bench(t)
  const next = nextReclaim()
  const ending = swapOut.begin(id)
  await next
  agent.abort()
  assert.equal(await ending, 'stopped')
  assert.equal(await swapOut.begin(otherId), 'stopped')
  assert.equal(begun.length, 1)
})

test('without swap nothing is done, and swap that is added is used', async t => {
  const { kernel, begun, lines, swapOut, nextReclaim } = await bench(t)
  await kernel.write('proc/swaps', swaps.none)
  assert.equal(await swapOut.begin(id), 'left')
  assert.deepEqual([begun.length, lines.length], [0, 0])
  await kernel.write('proc/swaps', swaps.some)
  const next = nextReclaim()
  const ending = swapOut.begin(id)
  ;(await next).finish()
  assert.equal(await ending, 'swapped')
})

test('one that runs again is not written', async t => {
  const one = await bench(t, { inspect: async found => ({ ...(await one.paused(found)), status: 'running' }) })
  assert.equal(await one.swapOut.begin(id), 'stopped')
  assert.equal(one.begun.length, 0)
})

test('containers of an engine elsewhere are left alone, and that is said once', async t => {
  const one = await bench(t, { inspect: async found => ({ ...(await one.paused(found)), pid: pid + 9 }) })
  assert.equal(await one.swapOut.begin(id), 'left')
  assert.equal(await one.swapOut.begin(otherId), 'left')
  assert.equal(one.begun.length, 0)
  assert.equal(one.lines.length, 1)
  assert.match(String(one.lines[0]?.reason), /not on this machine/)
})

test('an engine that is away is told of, and the next container is written', async t => {
  let isAway = true
  const one = await bench(t, {
    inspect: async found => {
      if (isAway) throw new EngineUnavailable('the engine did not answer')
      return one.paused(found)
    },
  })
  assert.equal(await one.swapOut.begin(id), 'left')
  assert.match(String(one.lines[0]?.msg), /not written to swap/)
  isAway = false
  const next = one.nextReclaim()
  const ending = one.swapOut.begin(id)
  ;(await next).finish()
  assert.equal(await ending, 'swapped')
})
