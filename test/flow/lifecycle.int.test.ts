import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { chromium } from 'playwright-core'
import postgres from 'postgres'
import { eventually } from '../kit/eventually.ts'
import { authorization, ensure, type Runtime, remove } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'

describe('the life of a runtime', { concurrency: false }, () => {
  let stack: TestStack
  let sql: postgres.Sql

  before(async () => {
    stack = await startStack()
    sql = postgres(stack.databaseUrl, { max: 2 })
  })
  after(async () => {
    await sql.end()
    await stack.close()
  })

  const containerName = (hash: string) => `${stack.names.containerPrefix}${hash}`
  const volumeName = (hash: string) => `${stack.names.volumePrefix}${hash}`
  const containers = async () => {
    const all = await stack.docker.listContainers({
      all: true,
      filters: { name: [`^/${stack.names.containerPrefix}`] },
    })
    return all.flatMap(({ Names }) => Names.map(name => name.slice(1)))
  }
  const volumes = async () => {
    const { Volumes } = await stack.docker.listVolumes({ filters: { name: [stack.names.volumePrefix] } })
    return (Volumes ?? []).map(({ Name }) => Name)
  }
  const reserved = async () => {
    const [row] = await sql`select reserved_slots, reserved_memory_bytes::int8, reserved_cpu_millis from hosts`
    return [row?.reserved_slots, Number(row?.reserved_memory_bytes), row?.reserved_cpu_millis]
  }
  const get = async (id: string) => (await (await stack.call('GET', `/v1/runtimes/${id}`)).json()) as Runtime

  const withBrowser = async <T>(
    runtime: Runtime,
    use: (browser: Awaited<ReturnType<typeof chromium.connectOverCDP>>) => Promise<T>,
  ) => {
    const browser = await chromium.connectOverCDP(runtime.urls.cdp, { headers: authorization(stack) })
    try {
      return await use(browser)
    } finally {
      await browser.close()
    }
  }
  const url = 'https://site.example/'
  const setCookie = (runtime: Runtime) =>
    withBrowser(runtime, async browser =>
      browser.contexts()[0]?.addCookies([{ name: 'login', value: 'kept', url, expires: Date.now() / 1000 + 86_400 }]),
    )
  const cookieOf = (runtime: Runtime) =>
    withBrowser(runtime, async browser => (await browser.contexts()[0]?.cookies(url))?.map(({ value }) => value))

  it('twenty ensures of one owner at once make one container', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ensure(stack, { userId: 'crowd' })))
    assert.equal(new Set(answers.map(({ id }) => id)).size, 1)
    assert.equal(answers.filter(({ status }) => status === 201).length, 1)
    const [answer] = answers
    assert(answer)
    assert.deepEqual(await containers(), [containerName(answer.ownerHash)])
    assert.equal((await reserved())[0], 1)
    await remove(stack, answer.id)
  })

  it('the container has the names, labels, limits and settings it should', async () => {
    const runtime = await ensure(stack, { userId: 'alice' })
    assert.equal(runtime.ownerHash, '2bd806c97f0e00af')
    const { Config, HostConfig, NetworkSettings, Mounts } = await stack.docker
      .getContainer(containerName(runtime.ownerHash))
      .inspect()
    const labels = Config.Labels
    assert.equal(labels['browser_use.runtime'], 'true')
    assert.equal(labels['browser_use.owner_hash'], runtime.ownerHash)
    assert.equal(labels['browser_use.managed_by'], 'browser_runtime_manager')
    assert.equal(labels['porthole.runtime'], runtime.id)
    assert.equal(labels['porthole.tenant'], 'default')
    assert.equal(labels['porthole.host'], stack.hostId)
    assert.equal(labels['porthole.generation'], '1')
    const env = Object.fromEntries(Config.Env.map(line => line.split(/=(.*)/s).slice(0, 2) as [string, string]))
    assert.equal(env.BROWSER_ENABLE_UI, 'true')
    assert.equal(env.BROWSER_DATA_DIR, '/data')
    assert.equal(env.BROWSER_USE_RPC_HOST, '0.0.0.0')
    assert.equal(env.BROWSER_USE_RPC_PORT, '8787')
    assert.equal(env.BROWSER_VIEW_URL, runtime.urls.view)
    assert((env.PORTHOLE_KEY ?? '').length >= 32)
    assert.deepEqual(HostConfig.PortBindings ?? {}, {})
    assert.deepEqual(Object.keys(NetworkSettings.Networks), [stack.names.network])
    assert.deepEqual(HostConfig.CapDrop, ['ALL'])
    assert(HostConfig.SecurityOpt.includes('no-new-privileges'))
    assert.equal(HostConfig.ReadonlyRootfs, true)
    assert.equal(HostConfig.ShmSize, 2 * 1024 ** 3)
    assert.equal(HostConfig.Memory, 2 * 1024 ** 3)
    assert((HostConfig.PidsLimit ?? 0) > 0 && (HostConfig.NanoCpus ?? 0) > 0)
    assert.deepEqual(
      Mounts.filter(({ Type }) => Type === 'volume').map(({ Name, Destination }) => [Name, Destination]),
      [[volumeName(runtime.ownerHash), '/data']],
    )
    const volume = await stack.docker.getVolume(volumeName(runtime.ownerHash)).inspect()
    assert.equal(volume.Labels['browser_use.runtime'], 'true')
    assert.equal(volume.Labels['browser_use.owner_hash'], runtime.ownerHash)
    await remove(stack, runtime.id, '?profile=delete')
    assert.deepEqual(await volumes().then(all => all.filter(name => name.endsWith(runtime.ownerHash))), [])
  })

  it("a principal's cookie survives delete and ensure", async () => {
    const first = await ensure(stack, { userId: 'keeper' })
    await setCookie(first)
    await remove(stack, first.id)
    assert.deepEqual(
      await volumes()
        .then(all => all.filter(name => name.endsWith(first.ownerHash)))
        .then(all => all.length),
      1,
    )
    const second = await ensure(stack, { userId: 'keeper' })
    assert.equal(second.status, 201)
    assert.notEqual(second.id, first.id)
    assert.deepEqual(await cookieOf(second), ['kept'])
    await remove(stack, second.id, '?profile=delete')
  })

  it("a task's cookie goes with the task, and the principal of the same name is left alone", async () => {
    const principal = await ensure(stack, { userId: 'same' })
    const task = await ensure(stack, { mode: 'docker-per-task', taskId: 'same' })
    assert.notEqual(task.ownerHash, principal.ownerHash)
    await setCookie(task)
    await remove(stack, task.id)
    assert(!(await volumes()).includes(volumeName(task.ownerHash)))
    assert((await containers()).includes(containerName(principal.ownerHash)))
    const again = await ensure(stack, { mode: 'docker-per-task', taskId: 'same' })
    assert.deepEqual(await cookieOf(again), [])
    await remove(stack, again.id)
    await remove(stack, principal.id, '?profile=delete')
  })

  it('delete leaves no container, no volume of a task, and nothing that claims capacity', async () => {
    const runtimes = await Promise.all([
      ensure(stack, { mode: 'docker-per-task', taskId: 'one' }),
      ensure(stack, { mode: 'shared', userId: 'anybody' }),
    ])
    assert.equal((await reserved())[0], 2)
    for (const { id } of runtimes) await remove(stack, id, '?profile=delete')
    for (const { id } of runtimes) await remove(stack, id)
    assert.deepEqual(await containers(), [])
    assert.deepEqual(await reserved(), [0, 0, 0])
    const left = await sql`select count(*)::int from runtimes where reserved or state <> 'deleted'`
    assert.equal(left[0]?.count, 0)
  })

  it('shared mode has one runtime for the whole tenant', async () => {
    const one = await ensure(stack, { mode: 'shared', userId: 'a' })
    const two = await ensure(stack, { mode: 'shared', threadId: 'b' })
    assert.equal(one.id, two.id)
    assert.equal(one.urls.view, `${stack.gatewayUrl}/vnc.html?path=websockify`)
    const seen = await fetch(one.urls.view, { headers: authorization(stack) })
    assert.equal(seen.status, 200)
    assert(seen.url.includes(`/view/${one.ownerHash}/vnc.html`))
    await remove(stack, one.id, '?profile=delete')
  })

  it('stop keeps the profile and start brings it back', async () => {
    const runtime = await ensure(stack, { userId: 'sleeper' })
    await setCookie(runtime)
    assert.equal((await stack.call('POST', `/v1/runtimes/${runtime.id}/stop`)).status, 200)
    assert.deepEqual(await containers(), [])
    assert.equal((await reserved())[0], 0)
    const started = await stack.call('POST', `/v1/runtimes/${runtime.id}/start`)
    const now = (await started.json()) as Runtime
    assert.deepEqual([now.state, now.generation], ['running', 2])
    assert.deepEqual(await cookieOf(now), ['kept'])
    assert.equal((await stack.call('POST', `/v1/runtimes/${runtime.id}/stop`)).status, 200)
    // Traffic wakes it: the request is held until it is ready.
    assert.deepEqual(await cookieOf(now), ['kept'])
    assert.equal((await get(runtime.id)).generation, 3)
    await remove(stack, runtime.id, '?profile=delete')
  })

  it('a paused browser is frozen with its pages, says so, and goes on when somebody connects', async () => {
    const runtime = await ensure(stack, { userId: 'icy' })
    await withBrowser(runtime, async browser => {
      const page = await browser.contexts()[0]?.newPage()
      await page?.evaluate('window.kept = 41')
      const cut = new Promise(resolve => browser.once('disconnected', resolve))
      const paused = await stack.call('POST', `/v1/runtimes/${runtime.id}/pause`)
      assert.deepEqual([paused.status, ((await paused.json()) as Runtime).state], [200, 'paused'])
      const container = stack.docker.getContainer(containerName(runtime.ownerHash))
      assert.equal((await container.inspect()).State.Paused, true)
      await cut
    })
    await withBrowser(runtime, async browser => {
      const pages = browser.contexts()[0]?.pages() ?? []
      const kept = await Promise.all(pages.map(page => page.evaluate('window.kept')))
      assert(kept.includes(41), 'the page is not as it was')
    })
    const now = await get(runtime.id)
    assert.deepEqual([now.state, now.generation], ['running', 1])
    await remove(stack, runtime.id)
  })

  it('a container that dies is noticed, and its owner gets a new one', async () => {
    const runtime = await ensure(stack, { userId: 'victim' })
    await stack.docker.getContainer(containerName(runtime.ownerHash)).kill()
    await eventually(async () => assert.equal((await get(runtime.id)).state, 'failed'), 15_000, 200)
    await eventually(async () => assert.equal((await reserved())[0], 0), 15_000, 200)
    const again = await ensure(stack, { userId: 'victim' })
    assert.deepEqual([again.id, again.generation, again.state], [runtime.id, 2, 'running'])
    await stack.docker.getContainer(containerName(runtime.ownerHash)).remove({ force: true })
    const third = await ensure(stack, { userId: 'victim' })
    assert.deepEqual([third.id, third.generation, third.state], [runtime.id, 3, 'running'])
    await remove(stack, runtime.id, '?profile=delete')
  })

  it('a start that cannot work says why, with exit code and log, and leaves nothing', async () => {
    const answer = await stack.call('POST', '/v1/runtimes', {
      userId: 'broken',
      // Too little for Chromium to start in: the kernel ends it.
      resources: { memoryMb: 256 },
      env: { BROWSER_SCREEN: 'not a size', MY_TOKEN: 'hunter2hunter2' },
    })
    const text = await answer.text()
    assert.equal(answer.status, 502, text)
    const problem = JSON.parse(text)
    assert.equal(problem.code, 'runtime-failed')
    assert.equal(typeof problem.exitCode, 'number')
    assert(problem.logTail.length > 0)
    assert(!text.includes('hunter2hunter2'))
    assert.deepEqual(await containers(), [])
    assert.deepEqual(await reserved(), [0, 0, 0])
    await remove(stack, problem.runtimeId, '?profile=delete')
  })

  it('a runtime outlives a restart of its gateway and of its agent, and answers afterwards', async () => {
    const runtime = await ensure(stack, { userId: 'steady' })
    const startedAt = async () =>
      (await stack.docker.getContainer(containerName(runtime.ownerHash)).inspect()).State.StartedAt
    const before = await startedAt()
    await stack.restartGateway()
    await stack.restartAgent()
    const again = await eventually(() => ensure(stack, { userId: 'steady' }), 30_000, 200)
    assert.deepEqual([again.id, again.generation, again.status], [runtime.id, 1, 200])
    assert.equal(await startedAt(), before)
    assert.deepEqual(await cookieOf(again), [])
    await remove(stack, runtime.id, '?profile=delete')
  })
})
