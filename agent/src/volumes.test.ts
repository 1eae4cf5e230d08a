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

type Options = FakeOptions & Pick<Parameters<typeof createVolumes>[0], 'idleMs' | 'turnMs' | 'disk'>

const host = ({ idleMs, turnMs, disk, ...options }: Options = {}) => {
  const engine = fakeEngine({ images: [image], ...options })
  const probe = async () => ({ ok: true }) as const
  const more = { ...(idleMs && { idleMs }), ...(turnMs && { turnMs }), ...(disk && { disk }) }
  const volumes = createVolumes({ engine, hostId, defaults, ...more })
  const own = { hostId, defaults, reach: 'bridge', startsAtOnce: 1, log: silent } as const
  return { engine, runtimes: createRuntimes({ engine, probe, volumes, ...own }), volumes }
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
  await volumes.remove(owner)
  assert.equal((await volumes.write(owner, tarOf(one))).files, 1)
})

test('a volume that is there is never replaced: an archive that comes late does it no harm', async () => {
  const { volumes } = host()
  const first = await volumes.write(owner, tarOf(one))
  await assert.rejects(volumes.write(owner, tarOf(two)), failsWith('wrong-state'))
  await assert.rejects(volumes.write(owner, Readable.from([Buffer.from('no tar')])), failsWith('wrong-state'))
  assert.deepEqual(await volumes.digest(owner), first)
})

test('a volume is not written on a disk that has no room, or to its last byte', async () => {
  let free: number | undefined = 99
  const { engine, volumes } = host({ disk: { free: async () => free, leastBytes: 100 } })
  await assert.rejects(volumes.write(owner, tarOf(one)), failsWith('no-room'))
  assert.equal(engine.calls.includes('ensureVolume'), false)
  free = 100
  const large = Buffer.concat(await tarOf([{ name: './large' }, 'x'.repeat(40 * 2 ** 20)]).toArray())
  const filling = async function* () {
    for (let at = 0; at < large.length; at += 2 ** 20) {
      yield large.subarray(at, at + 2 ** 20)
      free = 99
    }
  }
  await assert.rejects(volumes.write(owner, Readable.from(filling())), failsWith('no-room'))
  assert.deepEqual([engine.volumes.size, (await engine.list({})).length], [0, 0])
  free = undefined
  assert.equal((await volumes.write(owner, Readable.from([large]))).files, 1)
})

test('a removal whose turn does not come in time is refused, and not done later', async () => {
  const { engine, volumes } = host({ turnMs: 20 })
  await volumes.write(owner, tarOf(one))
  const reading = await volumes.read(owner)
  await assert.rejects(volumes.remove(owner), failsWith('busy'))
  reading.destroy()
  await volumes.digest(owner)
  assert(engine.volumes.has(name))
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

test('a volume whose copier an engine that was killed has kept is deleted with its runtime all the same', async () => {
  const { engine, volumes, runtimes } = host()
  await engine.create(await copierOf(volumes, engine))
  await runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume: true })
  assert.deepEqual([engine.volumes.size, (await engine.list({})).length], [0, 0])
})

test('what an agent left when it died in the middle of a copy is cleared by the next one', async () => {
  const { engine, volumes } = host()
  await engine.create(await copierOf(volumes, engine))
  assert.deepEqual([await volumes.clear(), await volumes.clear()], [1, 0])
})

test('a delete waits for whoever reads the volume, and does not take it from under them', async () => {
  const { engine, volumes, runtimes } = host()
  await volumes.write(owner, tarOf(one))
  const reading = await volumes.read(owner)
  const deleting = runtimes.delete(runtime, { generation: 1, ownerHash, removeVolume: true })
  assert.equal((await digestOf(reading)).files, 1)
  await deleting
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
