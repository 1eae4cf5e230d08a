import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { constants, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { eventually } from '../../test/kit/eventually.ts'
import type { MemoryGroup } from './swap-out-group.ts'
import { reclaim, stepBytes, type Write } from './swap-out-reclaim.ts'
import { fakeKernel, filesOfV1, filesOfV2, containerId as id } from './swap-out-testing.ts'

const never = new AbortController().signal
const refused = (code: string) => Object.assign(new Error(code), { code })

/** cgroup v2 as plain files, with what is written there in order; a write may do something, or be refused. */
const second = async (t: TestContext, resident: number, onReclaim: (step: number) => void = () => undefined) => {
  const { folders, read, write: change } = await fakeKernel(t, filesOfV2(id, resident))
  const group: MemoryGroup = { version: 2, directory: join(folders.cgroup, 'system.slice', `docker-${id}.scope`) }
  const written: [string, string][] = []
  let steps = 0
  const write: Write = async (path, text) => {
    written.push([basename(path), text])
    if (basename(path) === 'memory.reclaim') onReclaim(++steps)
    await writeFile(path, text)
  }
  const inGroup = (name: string) => `cgroup/system.slice/docker-${id}.scope/${name}`
  const file = (name: string) => read(inGroup(name))
  return { group, written, write, file, change: (name: string, text: string) => change(inGroup(name), text) }
}

test('in cgroup v2 all that is resident is asked for in small steps', async t => {
  const { group, written, write } = await second(t, 2 * stepBytes + 4096)
  await reclaim(group, never, write)
  assert.deepEqual(
    written.filter(([name]) => name === 'memory.reclaim').map(([, bytes]) => Number(bytes)),
    [stepBytes, stepBytes, 4096],
  )
})

test('in cgroup v2 swap is open for what the container has, and only meanwhile', async t => {
  const bench = await second(t, 2 * stepBytes)
  await bench.change('memory.swap.current', '4096\n')
  const { group, written, write } = bench
  await reclaim(group, never, write)
  assert.deepEqual(written[0], ['memory.swap.max', String(2 * stepBytes + 4096)])
  assert.deepEqual(written.at(-1), ['memory.swap.max', '0'])
  assert.equal(written.length, 4)
})

test('in cgroup v2 a kernel that finds no more ends it, and swap is closed', async t => {
  const { group, written, write } = await second(t, 9 * stepBytes, step => {
    if (step === 3) throw refused('EAGAIN')
  })
  await reclaim(group, never, write)
  assert.deepEqual(
    written.map(([name]) => name),
    ['memory.swap.max', 'memory.reclaim', 'memory.reclaim', 'memory.reclaim', 'memory.swap.max'],
  )
})

test('in cgroup v2 no step begins after the stop, and swap is closed', async t => {
  const stop = new AbortController()
  const { group, written, write, file } = await second(t, 9 * stepBytes, step => {
    if (step === 2) stop.abort()
  })
  await assert.rejects(reclaim(group, stop.signal, write), { name: 'AbortError' })
  assert.equal(written.filter(([name]) => name === 'memory.reclaim').length, 2)
  assert.equal(await file('memory.swap.max'), '0')
})

test('in cgroup v2 a refusal is told, and swap is closed', async t => {
  const { group, write, file } = await second(t, stepBytes, () => {
    throw refused('EACCES')
  })
  await assert.rejects(reclaim(group, never, write), { code: 'EACCES' })
  assert.equal(await file('memory.swap.max'), '0')
})

test('in cgroup v2 a kernel that does not limit swap is asked all the same', async t => {
  const { group, written, write } = await second(t, stepBytes)
  await rm(join(group.directory, 'memory.swap.max'))
  await rm(join(group.directory, 'memory.swap.current'))
  await reclaim(group, never, write)
  assert.deepEqual(written, [['memory.reclaim', String(stepBytes)]])
})

test('in cgroup v2 the files themselves are written, and none is made', async t => {
  const { group, file } = await second(t, stepBytes)
  await reclaim(group, never)
  assert.equal(await file('memory.reclaim'), String(stepBytes))
  await rm(join(group.directory, 'memory.reclaim'))
  await assert.rejects(reclaim(group, never), { code: 'ENOENT' })
})

test('in cgroup v1 all is asked for at once, and nothing after the stop', async t => {
  const { folders, read } = await fakeKernel(t, filesOfV1(id, 1))
  const group: MemoryGroup = { version: 1, directory: join(folders.cgroup, 'memory', 'docker', id) }
  const file = `cgroup/memory/docker/${id}/memory.force_empty`
  await assert.rejects(reclaim(group, AbortSignal.abort()), { name: 'AbortError' })
  assert.equal(await read(file), '')
  await reclaim(group, never)
  assert.equal(await read(file), '0')
})

test('in cgroup v1 a write that lasts ends with the stop', { timeout: 10_000 }, async t => {
  const group: MemoryGroup = { version: 1, directory: await lastingFile(t) }
  const stop = new AbortController()
  const reclaiming = reclaim(group, stop.signal)
  await eventually(async () => assert.equal((await writersTo(group)).length, 1))
  stop.abort()
  await assert.rejects(reclaiming, { name: 'AbortError' })
  await eventually(async () => assert.deepEqual(await writersTo(group), []))
})

test('in cgroup v1 a write that lasts ends with an agent that is killed', { timeout: 20_000 }, async t => {
  const group: MemoryGroup = { version: 1, directory: await lastingFile(t) }
  const script = `import { reclaim } from ${JSON.stringify(import.meta.resolve('./swap-out-reclaim.ts'))}
    await reclaim(${JSON.stringify(group)}, new AbortController().signal)`
  const agent = execFile(process.execPath, ['--input-type=module', '--eval', script])
  await eventually(async () => assert.equal((await writersTo(group)).length, 1))
  agent.kill('SIGKILL')
  await eventually(async () => assert.deepEqual(await writersTo(group), []))
})

/** Processes whose command is to write to a cgroup's file, by their numbers. */
const writersTo = async ({ directory }: MemoryGroup): Promise<string[]> => {
  const all = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const commands = await Promise.all(all.map(pid => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return all.filter((_, n) => commands[n] === `tee\0${join(directory, 'memory.force_empty')}\0`)
}

test('in cgroup v1 a refusal says which file', async t => {
  const { folders } = await fakeKernel(t, {})
  const group: MemoryGroup = { version: 1, directory: join(folders.cgroup, 'gone') }
  await assert.rejects(reclaim(group, never), /gone\/memory\.force_empty/)
})

/** A folder whose `memory.force_empty` nobody takes from: a write to it lasts. */
const lastingFile = async (t: TestContext): Promise<string> => {
  const directory = await mkdtemp(join(tmpdir(), 'porthole-kernel-'))
  const file = join(directory, 'memory.force_empty')
  await promisify(execFile)('mkfifo', [file])
  t.after(async () => {
    // Whoever should still wait there would keep this process from ending.
    await (await open(file, constants.O_RDONLY | constants.O_NONBLOCK)).close()
    await rm(directory, { recursive: true })
  })
  return directory
}
