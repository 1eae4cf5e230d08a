import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import tar from 'tar-stream'
import { eachEntry } from '../volume-digest.ts'
import type { ContainerChange, ContainerRequest, Engine } from './engine.ts'
import { EngineRefused, EngineUnavailable } from './errors.ts'

export type EngineBench = {
  engine: Engine
  /** The same engine, unreachable. */
  down: Engine
  /** An image that is there, and how to have its container run on, or write lines and end. */
  image: string
  runOn: Pick<ContainerRequest, 'entrypoint' | 'command'>
  writeAndEnd: (lines: readonly string[], exitCode: number) => Pick<ContainerRequest, 'entrypoint' | 'command'>
  /** A network of this run's own; the caller removes it. */
  network: string
  /** Deadline of one case, in milliseconds. */
  timeout: number
}

/** What every engine must do. Names are unique to the run, and everything made is removed. */
export const engineCases = (make: () => Promise<EngineBench>): void => {
  const run = randomBytes(4).toString('hex')
  const label = { 'porthole.test': run }
  const until = async <T>(read: () => Promise<T | undefined>, signal: AbortSignal): Promise<T> => {
    for (;;) {
      signal.throwIfAborted()
      const value = await read()
      if (value !== undefined) return value
    }
  }
  const request = (bench: EngineBench, name: string, more: Partial<ContainerRequest>): ContainerRequest => ({
    name: `porthole-test-${run}-${name}`,
    image: bench.image,
    env: { GREETING: 'a=b c' },
    labels: label,
    network: bench.network,
    volumes: [],
    tmpfs: {},
    readOnlyRoot: false,
    shmBytes: 2 ** 26,
    memoryBytes: 2 ** 27,
    cpus: 0.5,
    pids: 64,
    seccomp: 'default',
    publish: [],
    ...bench.runOn,
    ...more,
  })
  const made = async (bench: EngineBench, name: string, more: Partial<ContainerRequest> = {}): Promise<string> => {
    await bench.engine.ensureNetwork(bench.network, label)
    return bench.engine.create(request(bench, name, more))
  }
  const engineTest = (name: string, body: (bench: EngineBench, signal: AbortSignal) => Promise<void>) =>
    test(name, async t => {
      const bench = await make()
      const signal = AbortSignal.any([t.signal, AbortSignal.timeout(bench.timeout)])
      try {
        await body(bench, signal)
      } finally {
        for (const { id } of await bench.engine.list(label)) await bench.engine.remove(id)
      }
    })

  engineTest('an engine tells its version, size and images', async ({ engine, image }) => {
    const info = await engine.info()
    assert.ok(info.version !== '' && info.cpus > 0 && info.memoryBytes > 0)
    assert.ok((await engine.images()).includes(image))
    assert.equal(await engine.hasImage(image), true)
    assert.equal(await engine.hasImage('porthole-test/no-such-image:1'), false)
    assert.equal(await engine.imageId('porthole-test/no-such-image:1'), undefined)
  })

  engineTest('a container tells which image it was made from', async bench => {
    const id = await made(bench, 'of-image')
    const imageId = (await bench.engine.inspect(id))?.imageId
    assert.match(imageId ?? '', /^sha256:[0-9a-f]{64}$/)
    assert.equal(await bench.engine.imageId(bench.image), imageId)
  })

  engineTest('what does not exist is undefined, and removing it succeeds', async ({ engine }) => {
    assert.equal(await engine.inspect('porthole-test-none'), undefined)
    assert.equal(await engine.inspectVolume('porthole-test-none'), undefined)
    assert.equal(await engine.logs('porthole-test-none', 10), undefined)
    await engine.remove('porthole-test-none')
    await engine.removeVolume('porthole-test-none')
    await engine.stop('porthole-test-none', 1)
  })

  engineTest('an engine that does not answer is unavailable, never empty', async ({ down }) => {
    await assert.rejects(down.info(), EngineUnavailable)
    await assert.rejects(down.inspect('porthole-test-none'), EngineUnavailable)
    await assert.rejects(down.inspectVolume('porthole-test-none'), EngineUnavailable)
    await assert.rejects(down.list(label), EngineUnavailable)
    await assert.rejects(down.remove('porthole-test-none'), EngineUnavailable)
    await assert.rejects(down.hasImage('porthole-test-none'), EngineUnavailable)
    await assert.rejects(down.imageId('porthole-test-none'), EngineUnavailable)
    await assert.rejects(down.listVolumes(label), EngineUnavailable)
    await assert.rejects(down.rename('porthole-test-none', 'other'), EngineUnavailable)
    await assert.rejects(down.setWeight('porthole-test-none', 64), EngineUnavailable)
    await assert.rejects(
      down.watch(
        label,
        () => undefined,
        () => undefined,
        AbortSignal.timeout(5000),
      ),
      EngineUnavailable,
    )
  })

  engineTest('a container runs with its labels, environment and address until it is removed', async bench => {
    const { engine } = bench
    const id = await made(bench, 'life')
    assert.equal((await engine.inspect(id))?.status, 'created')
    await engine.start(id)
    const container = await engine.inspect(id)
    assert.equal(container?.status, 'running')
    assert.equal(container.name, `porthole-test-${run}-life`)
    assert.equal(container.labels['porthole.test'], run)
    assert.ok(container.env.includes('GREETING=a=b c'))
    assert.match(container.address ?? '', /^\d+\.\d+\.\d+\.\d+$/)
    assert.equal((await engine.inspect(container.name))?.id, id)
    assert.deepEqual(
      (await engine.list(label)).map(one => [one.id, one.status]),
      [[id, 'running']],
    )
    assert.deepEqual(await engine.list({ ...label, other: 'x' }), [])
    await engine.stop(id, 1)
    await engine.stop(id, 1)
    const stopped = (await engine.list(label))[0]
    assert.equal(stopped?.status, 'exited')
    assert.equal(typeof stopped.exitCode, 'number')
    await engine.remove(id)
    await engine.remove(id)
    assert.equal(await engine.inspect(id), undefined)
  })

  engineTest('a name can be used once', async bench => {
    await made(bench, 'twice')
    await assert.rejects(
      made(bench, 'twice'),
      (error: unknown) => error instanceof EngineRefused && error.status === 409,
    )
  })

  engineTest('a container that runs goes on under another name, once that is free', async bench => {
    const { engine } = bench
    const id = await made(bench, 'first-name')
    await engine.start(id)
    await made(bench, 'taken')
    const [first, second, taken] = ['first-name', 'second-name', 'taken'].map(name => request(bench, name, {}).name)
    assert(first && second && taken)
    const isRefused = (status: number) => (error: unknown) => error instanceof EngineRefused && error.status === status
    await assert.rejects(engine.rename(id, taken), isRefused(409))
    for (let time = 0; time < 2; time++) await engine.rename(id, second)
    const found = await engine.inspect(second)
    assert.deepEqual([found?.id, found?.name, found?.status], [id, second, 'running'])
    assert.ok((await engine.list(label)).some(one => one.id === id && one.name === second))
    assert.equal(await engine.inspect(first), undefined)
    await assert.rejects(engine.rename(first, 'porthole-test-none'), isRefused(404))
  })

  engineTest('a container that runs is given another weight', async bench => {
    const { engine } = bench
    const id = await made(bench, 'weighs', { cpuShares: 64 })
    await engine.start(id)
    await engine.setWeight(id, 1024)
    assert.equal((await engine.inspect(id))?.status, 'running')
    await assert.rejects(
      engine.setWeight('porthole-test-none', 64),
      (error: unknown) => error instanceof EngineRefused && error.status === 404,
    )
  })

  engineTest('a volume that stands for another one’s directory holds the same, and goes without it', async bench => {
    const { engine } = bench
    const [own, other] = [`porthole-test-own-${run}`, `porthole-test-stands-${run}`]
    const names = async (id: string) => {
      const found: string[] = []
      await eachEntry(await engine.readArchive(id, '/volume'), async ({ name }, content) => {
        await Array.fromAsync(content)
        found.push(name.replace(/^\.\//, ''))
      })
      return found
    }
    try {
      await engine.ensureVolume(own, label)
      const first = await made(bench, 'has-own', { volumes: [{ name: own, path: '/volume' }] })
      await engine.start(first)
      // An image may have volumes of its own, and engines tell of all in any order.
      const { directory } = (await engine.inspect(first))?.volumes.find(({ name }) => name === own) ?? assert.fail()
      const labels = { ...label, 'porthole.test-of': own }
      for (let time = 0; time < 2; time++)
        assert.equal((await engine.ensureVolume(other, labels, { device: directory }))['porthole.test-of'], own)
      assert.deepEqual(await engine.listVolumes({ 'porthole.test-of': own }), [{ name: other, labels }])
      assert.equal((await engine.listVolumes(label)).length, 2)
      const pack = tar.pack()
      pack.entry({ name: 'volume/file', mode: 0o600, uid: 1000, gid: 1000 }, 'x')
      pack.finalize()
      await engine.writeArchive(first, '/', Readable.from(pack))
      const second = await made(bench, 'has-other', { volumes: [{ name: other, path: '/volume' }] })
      assert.ok((await names(second)).includes('volume/file'))
      await engine.remove(second)
      await engine.removeVolume(other)
      assert.ok((await names(first)).includes('volume/file'))
    } finally {
      for (const { id } of await engine.list(label)) await engine.remove(id)
      await engine.removeVolume(other)
      await engine.removeVolume(own)
    }
  })

  engineTest('a container of an image that is not there is refused', async bench => {
    await assert.rejects(
      made(bench, 'no-image', { image: 'porthole-test/no-such-image:1' }),
      (error: unknown) => error instanceof EngineRefused && error.status === 404,
    )
  })

  engineTest('waiting gives the exit code, and the log is kept', async (bench, signal) => {
    const { engine } = bench
    const id = await made(bench, 'ends', bench.writeAndEnd(['one', 'two', 'three'], 7))
    await engine.start(id)
    assert.equal(await engine.waitForExit(id, signal), 7)
    assert.equal(await engine.waitForExit(id, signal), 7)
    assert.equal((await engine.inspect(id))?.exitCode, 7)
    assert.equal((await engine.list(label))[0]?.exitCode, 7)
    assert.equal(await engine.logs(id, 2), 'two\nthree\n')
  })

  engineTest('waiting ends when it is aborted', async bench => {
    const id = await made(bench, 'waits')
    await bench.engine.start(id)
    const abort = new AbortController()
    const waiting = bench.engine.waitForExit(id, abort.signal)
    abort.abort()
    await assert.rejects(waiting, EngineUnavailable)
  })

  engineTest('a container has a process while it runs or is paused, and none before and after', async bench => {
    const { engine } = bench
    const id = await made(bench, 'has-process')
    const pid = async () => (await engine.inspect(id))?.pid
    assert.equal(await pid(), undefined)
    await engine.start(id)
    const running = (await pid()) ?? assert.fail('it runs')
    assert.ok(Number.isInteger(running) && running > 0)
    await engine.pause(id)
    assert.equal(await pid(), running)
    await engine.unpause(id)
    await engine.stop(id, 0)
    assert.equal(await pid(), undefined)
  })

  engineTest('a paused container goes on where it was', async bench => {
    const { engine } = bench
    const id = await made(bench, 'pauses')
    await engine.start(id)
    await engine.pause(id)
    assert.equal((await engine.inspect(id))?.status, 'paused')
    await engine.unpause(id)
    assert.equal((await engine.inspect(id))?.status, 'running')
  })

  engineTest(
    'a volume is written and read through a container that never ran, owners and modes as they were',
    async bench => {
      const { engine } = bench
      const volume = `porthole-test-archive-${run}`
      const wanted: [Parameters<tar.Pack['entry']>[0], string][] = [
        [{ name: 'volume', type: 'directory', mode: 0o710, uid: 1000, gid: 1000 }, ''],
        [{ name: 'volume/login', type: 'directory', mode: 0o700, uid: 1000, gid: 1000 }, ''],
        [{ name: 'volume/login/cookies', mode: 0o600, uid: 1000, gid: 1000 }, 'a secret'],
        [{ name: 'volume/lock', type: 'symlink', linkname: 'gone-42', mode: 0o777, uid: 1000, gid: 1000 }, ''],
      ]
      try {
        await engine.ensureVolume(volume, label)
        const id = await made(bench, 'archives', { volumes: [{ name: volume, path: '/volume' }] })
        const pack = tar.pack()
        for (const [header, text] of wanted) pack.entry(header, text)
        pack.finalize()
        await engine.writeArchive(id, '/', Readable.from(pack))
        const found = new Map<string, unknown[]>()
        await eachEntry(
          await engine.readArchive(id, '/volume'),
          async ({ name, type, mode, uid, gid, linkname }, content) => {
            let text = ''
            for await (const chunk of content) text += chunk
            const plain = name.replace(/^\.\//, '').replace(/\/$/, '')
            found.set(plain, [type, (mode ?? 0) & 0o777, uid, gid, linkname ?? '', text])
          },
        )
        // Its own root, too: who runs in it must be able to write there.
        assert.deepEqual(found.get('volume'), ['directory', 0o710, 1000, 1000, '', ''])
        assert.deepEqual(found.get('volume/login'), ['directory', 0o700, 1000, 1000, '', ''])
        assert.deepEqual(found.get('volume/login/cookies'), ['file', 0o600, 1000, 1000, '', 'a secret'])
        assert.deepEqual(found.get('volume/lock'), ['symlink', 0o777, 1000, 1000, 'gone-42', ''])
      } finally {
        for (const { id } of await engine.list(label)) await engine.remove(id)
        await engine.removeVolume(volume)
      }
    },
  )

  engineTest('removals of one container at once all succeed, and it is gone after each', async bench => {
    const { engine } = bench
    const id = await made(bench, 'removed-often')
    await engine.start(id)
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        await engine.remove(id)
        assert.equal(await engine.inspect(id), undefined)
      }),
    )
  })

  engineTest('an archive that breaks off ends its write, and soon', async bench => {
    const { engine } = bench
    const volume = `porthole-test-broken-${run}`
    try {
      await engine.ensureVolume(volume, label)
      const id = await made(bench, 'breaks-off', { volumes: [{ name: volume, path: '/volume' }] })
      const pack = tar.pack()
      pack.entry({ name: 'volume/file' }, 'x'.repeat(10_000))
      pack.finalize()
      const archive = new Readable({ read() {} })
      // Its header promises more than comes.
      archive.push(Buffer.concat(await Readable.from(pack).toArray()).subarray(0, 1000))
      const writing = engine.writeArchive(id, '/', archive)
      setImmediate(() => archive.destroy(new Error('the other end is gone')))
      const startedAt = performance.now()
      await assert.rejects(writing)
      assert(performance.now() - startedAt < 5000)
    } finally {
      for (const { id } of await engine.list(label)) await engine.remove(id)
      await engine.removeVolume(volume)
    }
  })

  engineTest('a volume keeps its first labels and is removed once unused', async bench => {
    const { engine } = bench
    const volume = `porthole-test-volume-${run}`
    try {
      assert.equal((await engine.ensureVolume(volume, label))['porthole.test'], run)
      assert.equal((await engine.ensureVolume(volume, { 'porthole.test': 'other' }))['porthole.test'], run)
      const id = await made(bench, 'has-volume', { volumes: [{ name: volume, path: '/data' }] })
      await assert.rejects(
        engine.removeVolume(volume),
        (error: unknown) => error instanceof EngineRefused && error.status === 409,
      )
      await engine.remove(id)
      assert.equal((await engine.inspectVolume(volume))?.['porthole.test'], run)
    } finally {
      await engine.removeVolume(volume)
    }
    assert.equal(await engine.inspectVolume(volume), undefined)
  })

  engineTest('starting and ending are told as they happen', async (bench, signal) => {
    const { engine } = bench
    const id = await made(bench, 'told')
    const seen: ContainerChange[] = []
    const stop = new AbortController()
    const open = Promise.withResolvers<void>()
    const watching = engine.watch(label, open.resolve, change => seen.push(change), stop.signal)
    await open.promise
    await engine.start(id)
    await engine.remove(id)
    const actions = ['start', 'die', 'destroy']
    const told = () => actions.filter(action => seen.some(one => one.id === id && one.action === action))
    await until(async () => {
      await engine.inspect(id)
      return told().length === actions.length ? true : undefined
    }, signal)
    stop.abort()
    await assert.rejects(watching, EngineUnavailable)
    assert.ok(seen.every(change => change.labels['porthole.test'] === run))
  })
}
