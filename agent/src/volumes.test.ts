import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import tar from 'tar-stream'
import { volumeName } from './containers.ts'
import { type FakeOptions, fakeEngine } from './engine/fake.ts'
import { AgentError } from './problems.ts'
import { createRuntimes } from './runtimes.ts'
import { defaults, hostId, image, ownerHash, runtime, silent, startCommand } from './testing/orders.ts'
import { digestOf } from './volume-digest.ts'
import { createVolumes } from './volumes.ts'

const { tenant } = startCommand()
const owner = { tenant, ownerHash }
const name = volumeName(defaults, ownerHash)

const tarOf = (...entries: [Parameters<tar.Pack['entry']>[0], string][]): Readable => {
  const pack = tar.pack()
  for (const [header, text] of entries) pack.entry(header, text)
  pack.finalize()
  return Readable.from(pack)
}
const one: [Parameters<tar.Pack['entry']>[0], string] = [{ name: './a', mode: 0o600, uid: 1000, gid: 1000 }, 'first']
const two: [Parameters<tar.Pack['entry']>[0], string] = [{ name: './b/', type: 'directory', mode: 0o700 }, '']

const host = ({ idleMs, ...options }: FakeOptions & { idleMs?: number } = {}) => {
  const engine = fakeEngine({ images: [image], ...options })
  const probe = async () => ({ ok: true }) as const
  const runtimes = createRuntimes({ engine, probe, hostId, defaults, reach: 'bridge', startsAtOnce: 1, log: silent })
  return { engine, runtimes, volumes: createVolumes({ engine, hostId, defaults, ...(idleMs && { idleMs }) }) }
}
const failsWith = (code: string) => (error: unknown) => error instanceof AgentError && error.code === code

test('a digest is of names, modes, owners and contents, not of their order or times', async () => {
  const digest = await digestOf(tarOf(one, two))
  assert.deepEqual([digest.files, digest.bytes], [2, 5])
  assert.deepEqual(await digestOf(tarOf([{ ...two[0], mtime: new Date(0) }, ''], one)), digest)
  const others: [Parameters<tar.Pack['entry']>[0], string][] = [
    [one[0], 'other'],
    [{ ...one[0], mode: 0o644 }, 'first'],
    [{ ...one[0], uid: 0 }, 'first'],
    [{ ...one[0], name: './c' }, 'first'],
    [{ ...one[0], type: 'symlink', linkname: 'x' }, ''],
  ]
  for (const other of others) assert.notEqual((await digestOf(tarOf(other, two))).digest, digest.digest)
})

test('an archive that breaks off is an error, not a shorter volume', async () => {
  const whole = Buffer.concat(await tarOf(one, two).toArray())
  await assert.rejects(digestOf(Readable.from([whole.subarray(0, 600)])))
  const cut = new Readable({ read() {} })
  cut.push(whole.subarray(0, 100))
  setImmediate(() => cut.destroy())
  await assert.rejects(digestOf(cut), /broke off/)
})

test('a volume goes from one host to another, and reads the same there', async () => {
  const [source, target] = [host(), host()]
  await source.volumes.write(owner, tarOf(one, two))
  const before = await source.volumes.digest(owner)
  const after = await target.volumes.write(owner, await source.volumes.read(owner))
  assert.deepEqual(after, before)
  assert.deepEqual((await target.engine.list({})).length, 0)
  await source.volumes.remove(owner)
  await source.volumes.remove(owner)
  assert.equal(source.engine.volumes.size, 0)
  await assert.rejects(source.volumes.digest(owner), failsWith('not-found'))
})

test('a volume that a container has is neither read, replaced nor removed', async () => {
  const { engine, runtimes, volumes } = host()
  await runtimes.start(runtime, startCommand())
  for (const attempt of [
    () => volumes.read(owner),
    () => volumes.digest(owner),
    () => volumes.write(owner, tarOf(one)),
    () => volumes.remove(owner),
  ])
    await assert.rejects(attempt(), failsWith('wrong-state'))
  assert(engine.volumes.has(name))
})

test("another tenant's volume of that name is not touched", async () => {
  const { engine, volumes } = host()
  await volumes.write(owner, tarOf(one))
  const stranger = { tenant: 'other', ownerHash }
  for (const attempt of [
    () => volumes.read(stranger),
    () => volumes.write(stranger, tarOf(two)),
    () => volumes.remove(stranger),
  ])
    await assert.rejects(attempt(), failsWith('name-taken'))
  assert(engine.volumes.has(name))
})

test('nothing is left of a write that fails, and a copier that a dead agent left is no obstacle', async () => {
  const { engine, volumes } = host()
  await assert.rejects(volumes.write(owner, Readable.from([Buffer.from('no tar')])))
  assert.deepEqual([engine.volumes.size, (await engine.list({})).length], [0, 0])
  const left = { ...(await copierOf(volumes, engine)) }
  await engine.create(left)
  assert.equal((await volumes.write(owner, tarOf(one))).files, 1)
})

test('a reader that takes nothing more holds up nobody: the volume is free again', async () => {
  const { volumes, engine } = host({ idleMs: 50 })
  await volumes.write(owner, tarOf(one))
  const reading = await volumes.read(owner)
  reading.on('error', () => {})
  // Waits in the same lane.
  await volumes.remove(owner)
  assert.equal(reading.destroyed, true)
  assert.deepEqual([engine.volumes.size, (await engine.list({})).length], [0, 0])
})

test('a writer that says nothing more holds up nobody, and nothing is left of what it wrote', async () => {
  const { volumes, engine } = host({ idleMs: 50 })
  const silentOne = new Readable({ read() {} })
  silentOne.push(Buffer.concat(await tarOf(one).toArray()).subarray(0, 600))
  await assert.rejects(volumes.write(owner, silentOne))
  assert.equal(silentOne.destroyed, true)
  assert.deepEqual([engine.volumes.size, (await engine.list({})).length], [0, 0])
  assert.equal((await volumes.write(owner, tarOf(one))).files, 1)
})

test('a volume whose copier a dead agent left can be deleted with its runtime, once that is cleared', async () => {
  const { engine, volumes, runtimes } = host()
  await engine.create(await copierOf(volumes, engine))
  const removal = { generation: 1, ownerHash, removeVolume: true }
  await assert.rejects(runtimes.delete(runtime, removal))
  assert.deepEqual([await volumes.clear(), await volumes.clear()], [1, 0])
  await runtimes.delete(runtime, removal)
  assert.equal(engine.volumes.size, 0)
})

/** What the copier of a volume is made from. */
const copierOf = async (volumes: ReturnType<typeof createVolumes>, engine: ReturnType<typeof fakeEngine>) => {
  await volumes.write(owner, tarOf(two))
  const reading = await volumes.read(owner)
  const request = engine.requestOf(`${name}-copy`)
  reading.destroy()
  assert(request)
  await volumes.digest(owner)
  return request
}
