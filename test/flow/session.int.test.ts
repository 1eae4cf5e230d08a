import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { connectCdp } from '../kit/cdp.ts'
import { eventually } from '../kit/eventually.ts'
import { authorization, ensure, pageOf, type Runtime, remove } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'

type Event = { type: string; generation: number; data: { startMs?: number; steps?: Record<string, number> } }
type Target = { type: string; url: string; title: string }

describe('a browser that starts', { concurrency: false }, () => {
  let stack: TestStack
  before(async () => {
    stack = await startStack()
  })
  after(() => stack?.close())

  const site = 'https://site.example/'
  const headers = () => authorization(stack)
  const pages = async ({ urls }: Runtime): Promise<Target[]> => {
    const answer = await fetch(`${urls.cdp}/json/list`, { headers: headers() })
    assert.equal(answer.status, 200)
    return ((await answer.json()) as Target[]).filter(({ type }) => type === 'page')
  }
  const titles = async (runtime: Runtime) => (await pages(runtime)).map(({ title }) => title).sort()
  const container = ({ ownerHash }: Runtime) => stack.docker.getContainer(`${stack.names.containerPrefix}${ownerHash}`)

  const withCdp = async <T>({ urls }: Runtime, use: (cdp: Awaited<ReturnType<typeof connectCdp>>) => Promise<T>) => {
    const cdp = await connectCdp(urls.cdp.replace(/^http/, 'ws'), headers())
    try {
      return await use(cdp)
    } finally {
      cdp.close()
    }
  }
  /** Two pages instead of the empty one, and a login that lasts as long as the browser is open. */
  const work = async (runtime: Runtime) => {
    const [empty] = await pages(runtime)
    assert(empty)
    await withCdp(runtime, async cdp => {
      for (const title of ['one', 'two'])
        await cdp.send('Target.createTarget', { url: pageOf(`<title>${title}</title>`) })
      await cdp.send('Storage.setCookies', { cookies: [{ name: 'login', value: 'open', url: site }] })
    })
    await eventually(async () => assert.deepEqual(await titles(runtime), ['about:blank', 'one', 'two']))
  }
  const login = (runtime: Runtime) =>
    withCdp(runtime, async cdp => {
      const { cookies } = (await cdp.send('Storage.getCookies')) as { cookies: { name: string; value: string }[] }
      return cookies.map(({ name, value }) => `${name}=${value}`)
    })
  const isWrittenDown = async (runtime: Runtime, text: string): Promise<boolean> => {
    const exec = await container(runtime).exec({
      Cmd: ['grep', '--recursive', '--files-with-matches', text, '/data/profile/Default/Sessions'],
      AttachStdout: true,
    })
    const stream = await exec.start({})
    const output = new PassThrough()
    stack.docker.modem.demuxStream(stream, output, output)
    stream.once('end', () => output.end())
    return (await output.toArray()).join('').includes('Session_')
  }

  it('opens one empty page at first, and tells what the steps of its start took', async () => {
    const runtime = await ensure(stack, { userId: 'fresh' })
    assert.deepEqual(
      (await pages(runtime)).map(({ url }) => url),
      ['about:blank'],
    )
    const answer = await stack.call('GET', `/v1/runtimes/${runtime.id}/events`)
    assert.equal(answer.status, 200)
    const { items, nextCursor } = (await answer.json()) as { items: Event[]; nextCursor: string | null }
    assert.deepEqual(
      items.map(({ type, generation }) => [type, generation]),
      [
        ['runtime.pending', 0],
        ['runtime.starting', 1],
        ['runtime.running', 1],
      ],
    )
    assert.equal(nextCursor, null)
    const { startMs = 0, steps = {} } = items.at(-1)?.data ?? {}
    const { placement = -1, ...onHost } = steps
    assert.deepEqual(Object.keys(onHost).sort(), [
      'answer',
      'boot',
      'browser',
      'create',
      'display',
      'prepare',
      'start',
      'turn',
      'volume',
    ])
    assert(placement >= 0)
    const sum = Object.values(onHost).reduce((all, ms) => all + ms, 0)
    assert((onHost.browser ?? 0) > 0 && sum <= startMs + 10, JSON.stringify({ startMs, onHost }))
    const rest = (await (await stack.call('GET', `/v1/runtimes/${runtime.id}/events?limit=2`)).json()) as {
      nextCursor: string
    }
    const last = await stack.call('GET', `/v1/runtimes/${runtime.id}/events?cursor=${rest.nextCursor}`)
    assert.deepEqual(await last.json(), { items: items.slice(2), nextCursor: null })
    await remove(stack, runtime.id, '?profile=delete')
  })

  it('has its tabs and logins again after stop and start', async () => {
    const runtime = await ensure(stack, { userId: 'reader' })
    await work(runtime)
    assert.equal((await stack.call('POST', `/v1/runtimes/${runtime.id}/stop`)).status, 200)
    assert.equal((await stack.call('POST', `/v1/runtimes/${runtime.id}/start`)).status, 200)
    await eventually(async () => assert.deepEqual(await titles(runtime), ['about:blank', 'one', 'two']))
    assert.deepEqual(await login(runtime), ['login=open'])
    await remove(stack, runtime.id, '?profile=delete')
  })

  it('has its tabs again after its container was killed', async () => {
    const runtime = await ensure(stack, { userId: 'unlucky' })
    await work(runtime)
    // Chromium writes down what is open every few seconds.
    await eventually(async () => assert(await isWrittenDown(runtime, '3Etwo')), 20_000, 500)
    await container(runtime).kill()
    const state = async () => ((await (await stack.call('GET', `/v1/runtimes/${runtime.id}`)).json()) as Runtime).state
    await eventually(async () => assert.equal(await state(), 'failed'), 15_000, 200)
    const again = await ensure(stack, { userId: 'unlucky' })
    assert.deepEqual([again.id, again.generation], [runtime.id, 2])
    await eventually(async () => assert.deepEqual(await titles(again), ['about:blank', 'one', 'two']))
    await remove(stack, runtime.id, '?profile=delete')
  })
})
