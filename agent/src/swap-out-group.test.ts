import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hasSwap, type LeftAlone, type MemoryGroup, memoryGroupOf, residentBytes } from './swap-out-group.ts'
import { fakeKernel, filesOfV1, filesOfV2, containerId as id, pid, swaps } from './swap-out-testing.ts'

const groupIn = (found: MemoryGroup | LeftAlone): MemoryGroup =>
  'leftAlone' in found ? assert.fail(found.leftAlone) : found
const reasonIn = (found: MemoryGroup | LeftAlone): string =>
  'leftAlone' in found ? found.leftAlone : assert.fail(`it is at ${found.directory}`)

test('in cgroup v1 the line of the memory controller says where, though there is one of v2 as well', async t => {
  const { folders } = await fakeKernel(t, filesOfV1(id, 1234))
  const group = groupIn(await memoryGroupOf({ id, pid }, folders))
  assert.deepEqual(group, { version: 1, directory: join(folders.cgroup, 'memory', 'docker', id) })
  assert.equal(await residentBytes(group), 1234)
})

test('in cgroup v2 the only line says where', async t => {
  const { folders } = await fakeKernel(t, filesOfV2(id, 5678))
  const group = groupIn(await memoryGroupOf({ id, pid }, folders))
  assert.deepEqual(group, { version: 2, directory: join(folders.cgroup, 'system.slice', `docker-${id}.scope`) })
  assert.equal(await residentBytes(group), 5678)
})

test("a process in a cgroup below the container's counts with the whole container", async t => {
  const kernel = await fakeKernel(t, filesOfV2(id, 1))
  await kernel.write(`proc/${pid}/cgroup`, `0::/system.slice/docker-${id}.scope/init/worker\n`)
  const group = groupIn(await memoryGroupOf({ id, pid }, kernel.folders))
  assert.equal(group.directory, join(kernel.folders.cgroup, 'system.slice', `docker-${id}.scope`))
})

test('a process that is not here, or is somebody else, is of an engine elsewhere', async t => {
  const kernel = await fakeKernel(t, filesOfV1(id, 1))
  assert.match(reasonIn(await memoryGroupOf({ id, pid: pid + 1 }, kernel.folders)), /not on this machine/)
  assert.match(reasonIn(await memoryGroupOf({ id }, kernel.folders)), /no process/)
  const other = id.replace('a', 'b')
  assert.match(reasonIn(await memoryGroupOf({ id: other, pid }, kernel.folders)), /engine is elsewhere/)
  await kernel.write(`proc/${pid}/cgroup`, '4:memory:/user.slice\n0::/\n')
  assert.match(reasonIn(await memoryGroupOf({ id, pid }, kernel.folders)), /engine is elsewhere/)
})

test('a path that leads out of what is mounted here is not followed', async t => {
  const kernel = await fakeKernel(t, filesOfV1(id, 1))
  await kernel.write(`proc/${pid}/cgroup`, `4:memory:/../memory/docker/${id}\n`)
  assert.match(reasonIn(await memoryGroupOf({ id, pid }, kernel.folders)), /elsewhere/)
})

test('an id that is none is not looked for: any path would carry it', async t => {
  const { folders } = await fakeKernel(t, filesOfV1(id, 1))
  for (const none of ['', 'docker', id.slice(0, 12)]) {
    assert.match(reasonIn(await memoryGroupOf({ id: none, pid }, folders)), /no id/)
  }
})

test('a kernel that is too old to reclaim in cgroup v2 is named as the reason', async t => {
  const { folders } = await fakeKernel(t, filesOfV2(id, 1))
  await rm(join(folders.cgroup, 'system.slice', `docker-${id}.scope`, 'memory.reclaim'))
  assert.match(reasonIn(await memoryGroupOf({ id, pid }, folders)), /memory\.reclaim.*Linux 5\.19/)
})

test('a machine has swap when the kernel lists any', async t => {
  const kernel = await fakeKernel(t, { 'proc/swaps': swaps.none })
  assert.equal(await hasSwap(kernel.folders), false)
  await kernel.write('proc/swaps', swaps.some)
  assert.equal(await hasSwap(kernel.folders), true)
  await rm(join(kernel.folders.proc, 'swaps'))
  assert.equal(await hasSwap(kernel.folders), false)
})
