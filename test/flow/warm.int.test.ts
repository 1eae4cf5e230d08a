import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { connect, type Database, warmTenant } from '@porthole/db'
import { connectCdp } from '../kit/cdp.ts'
import { eventually } from '../kit/eventually.ts'
import { authorization, ensure, pageOf, type Runtime, remove } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'

type Event = { type: string; generation: number; data: { steps?: Record<string, number> } }
type Told = { viewUrl?: string }

describe('browsers that are warm', { concurrency: false }, () => {
  let stack: TestStack
  let database: Database
  before(async () => {
    stack = await startStack({ gatewaySettings: { PORTHOLE_WARM: '1' } })
    database = connect(stack.databaseUrl, { max: 1 })
  })
  after(async () => {
    await database?.close()
    await stack?.close()
  })

  const site = 'https://site.example/'
  const containers = async () =>
    (await stack.docker.listContainers({ all: true })).flatMap(({ Id, Names, Labels, State }) => {
      const name = Names[0]?.slice(1) ?? ''
      return name.startsWith(stack.names.containerPrefix)
        ? [{ id: Id, hash: name.slice(stack.names.containerPrefix.length), labels: Labels, state: State }]
        : []
    })
  const volumes = async () => {
    const { Volumes } = await stack.docker.listVolumes({ filters: { name: [stack.names.volumePrefix] } })
    return (Volumes ?? []).map(({ Name }) => Name.slice(stack.names.volumePrefix.length)).toSorted()
  }
  /** The one that waits for an owner, once it may be given away. */
  const untilWarm = () =>
    eventually(async () => {
      const [row] = await database.db.$client<{ id: string }[]>`
        select id from runtimes where tenant = ${warmTenant} and state = 'running'`
      const found = (await containers()).find(({ labels }) => labels['porthole.runtime'] === row?.id)
      return found ?? assert.fail('none is warm')
    }, 60_000)
  const containerOf = async ({ ownerHash }: Runtime) =>
    (await containers()).find(({ hash }) => hash === ownerHash) ?? assert.fail('it has no container')
  const eventsOf = async ({ id }: Runtime): Promise<Event[]> =>
    ((await (await stack.call('GET', `/v1/runtimes/${id}/events`)).json()) as { items: Event[] }).items
  /** The steps of its last start; one that was claimed tells of that alone. */
  const stepsOf = async (runtime: Runtime) =>
    Object.keys((await eventsOf(runtime)).findLast(({ data }) => data.steps)?.data.steps ?? {})
  const withCdp = async <T>({ urls }: Runtime, use: (cdp: Awaited<ReturnType<typeof connectCdp>>) => Promise<T>) => {
    const cdp = await connectCdp(urls.cdp.replace(/^http/, 'ws'), authorization(stack))
    try {
      return await use(cdp)
    } finally {
      cdp.close()
    }
  }
  const cookies = (runtime: Runtime) =>
    withCdp(runtime, async cdp => {
      const { cookies } = (await cdp.send('Storage.getCookies')) as { cookies: { name: string; value: string }[] }
      return cookies.map(({ name, value }) => `${name}=${value}`)
    })
  const healthOf = async ({ ownerHash }: Runtime) =>
    (await (await stack.call('GET', `/rpc/${ownerHash}/health`)).json()) as Told
  const claim = async (body: object) => ({ waiting: await untilWarm(), runtime: await ensure(stack, body) })

  it('one is given to a new owner as it is, and is theirs in all that they see', async () => {
    const { waiting, runtime } = await claim({
      userId: 'alice',
      env: { OPENAI_BASE_URL: 'http://model.example/v1', OPENAI_API_KEY: 'sk-alice', MODEL_DEFAULT: 'm' },
    })
    assert.deepEqual((await stepsOf(runtime)).toSorted(), ['claim', 'placement'])
    assert.equal((await containerOf(runtime)).id, waiting.id)
    assert.deepEqual(
      (await eventsOf(runtime)).map(({ type, generation }) => [type, generation]),
      [
        ['runtime.pending', 0],
        ['runtime.starting', 2],
        ['runtime.running', 2],
      ],
    )
    const { viewUrl } = await healthOf(runtime)
    const task = await fetch(runtime.urls.rpc, {
      method: 'POST',
      headers: { ...authorization(stack), 'content-type': 'application/json' },
      body: JSON.stringify({ task: 'anything' }),
    })
    // Without a model it would be `no-model`.
    assert.equal(((await task.json()) as { code: string }).code, 'task-not-supported')
    assert.ok(viewUrl?.includes(`/view/${runtime.ownerHash}/`))
    await withCdp(runtime, async cdp => {
      const { targetInfos } = (await cdp.send('Target.getTargets')) as { targetInfos: { type: string; url: string }[] }
      assert.deepEqual(
        targetInfos.filter(({ type }) => type === 'page').map(({ url }) => url),
        ['about:blank'],
      )
      await cdp.send('Target.createTarget', { url: pageOf('<title>mine</title>') })
      const expires = Date.now() / 1000 + 86_400
      await cdp.send('Storage.setCookies', { cookies: [{ name: 'login', value: 'kept', url: site, expires }] })
    })

    // Stopped and started it is in another container, on the same profile.
    assert.equal((await stack.call('POST', `/v1/runtimes/${runtime.id}/stop`)).status, 200)
    assert.equal((await stack.call('POST', `/v1/runtimes/${runtime.id}/start`)).status, 200)
    assert.notEqual((await containerOf(runtime)).id, waiting.id)
    assert.deepEqual(await cookies(runtime), ['login=kept'])

    // Deleted, its profile is there for the next one, which is made for it.
    await remove(stack, runtime.id)
    const again = await ensure(stack, { userId: 'alice' })
    assert.ok(!(await stepsOf(again)).includes('claim'))
    assert.deepEqual(await cookies(again), ['login=kept'])
    await remove(stack, again.id, '?profile=delete')
    const left = await volumes()
    assert.ok(!left.includes(runtime.ownerHash) && !left.includes(waiting.hash), left.join(' '))
  })

  it('the next one is made at once, and a task leaves nothing of its own', async () => {
    const first = await claim({ mode: 'docker-per-task', taskId: 't1' })
    const second = await claim({ mode: 'docker-per-task', taskId: 't2' })
    assert.notEqual(first.waiting.id, second.waiting.id)
    for (const { runtime } of [first, second]) {
      assert.ok((await stepsOf(runtime)).includes('claim'))
      await remove(stack, runtime.id)
    }
    const { hash } = await untilWarm()
    assert.deepEqual(await volumes(), [hash])
    assert.deepEqual(
      (await containers()).map(one => one.hash),
      [hash],
    )
  })

  it('who needs another one gets it started', async () => {
    for (const [userId, more] of Object.entries({
      env: { env: { LANG: 'de_DE.UTF-8' } },
      memory: { resources: { memoryMb: 1024 } },
    })) {
      const { waiting, runtime } = await claim({ userId, ...more })
      assert.notEqual((await containerOf(runtime)).id, waiting.id)
      await remove(stack, runtime.id, '?profile=delete')
    }
  })

  it('one whose browser has died is not given away', async () => {
    const waiting = await untilWarm()
    const { Processes }: { Processes: string[][] } = await stack.docker
      .getContainer(waiting.id)
      .top({ ps_args: '-o pid,args' })
    // The browser's own process: those that it has started say of what type they are.
    const [pid] = Processes.find(([, args]) => args?.includes('chromium') && !args.includes('--type=')) ?? []
    assert.ok(Number(pid) > 0)
    process.kill(Number(pid), 'SIGSTOP')
    const runtime = await ensure(stack, { userId: 'carol' })
    assert.notEqual((await containerOf(runtime)).id, waiting.id)
    assert.deepEqual(await cookies(runtime), [])
    await remove(stack, runtime.id, '?profile=delete')
  })

  it('an agent that is killed in the middle leaves one browser for one owner', async () => {
    const waiting = await untilWarm()
    const asked = stack.call('POST', '/v1/runtimes', { userId: 'dave' }).catch(() => undefined)
    const { pid, ended } = stack.agent()
    process.kill(pid, 'SIGKILL')
    await ended
    await stack.restartAgent()
    await asked
    const runtime = await ensure(stack, { userId: 'dave' })
    const mine = (await containers()).filter(({ hash }) => hash === runtime.ownerHash)
    assert.equal(mine.length, 1)
    assert.deepEqual(await cookies(runtime), [])
    await remove(stack, runtime.id, '?profile=delete')
    await eventually(async () => {
      const left = await containers()
      assert.ok(left.every(({ id }) => id !== waiting.id) || mine[0]?.id !== waiting.id)
    })
  })
})
