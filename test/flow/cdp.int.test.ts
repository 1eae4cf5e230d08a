import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { type Browser, chromium } from 'playwright-core'
import puppeteer from 'puppeteer-core'
import { type Cdp, connectCdp, readStream } from '../kit/cdp.ts'
import { eventually } from '../kit/eventually.ts'
import { type Front, startFront } from '../kit/front.ts'
import { authorization, ensure, pageOf, type Runtime, remove } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'

const mebibyte = 1024 ** 2
const prefix = '/tools/browsers'

/** Most memory that a process had in use since `forgetPeak`, in bytes (proc(5), VmHWM). */
const peakOf = (pid: number): number =>
  Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
const forgetPeak = (pid: number) => writeFileSync(`/proc/${pid}/clear_refs`, '5')

describe('DevTools behind a proxy that ends TLS and has the gateway below a path', { concurrency: false }, () => {
  let front: Front
  let stack: TestStack
  let alice: Runtime
  let gatewayPort = 0

  before(async () => {
    front = await startFront(prefix, () => gatewayPort)
    stack = await startStack({ gatewaySettings: { PUBLIC_URL: front.url } })
    gatewayPort = Number(new URL(stack.gatewayUrl).port)
    alice = await ensure(stack, { userId: 'alice' })
  })
  after(async () => {
    await stack?.close()
    await front?.close()
  })

  const headers = () => authorization(stack)
  const wss = (url: string) => url.replace(/^http/, 'ws')
  /** Straight to the gateway: what is measured is not the proxy of the test. */
  const inner = () => `ws://127.0.0.1:${gatewayPort}/cdp/${alice.ownerHash}`
  const discover = async (path: string, method = 'GET') => {
    const answer = await fetch(`${alice.urls.cdp}${path}`, { method, headers: headers() })
    assert.equal(answer.status, 200, path)
    return answer.json()
  }
  const withCdp = async (url: string, use: (cdp: Cdp) => Promise<void>) => {
    const cdp = await connectCdp(url, headers())
    try {
      await use(cdp)
    } finally {
      cdp.close()
    }
  }
  /** A session of a new page, at that address. */
  const attach = async (cdp: Cdp, url: string) => {
    const { targetId } = await cdp.send('Target.createTarget', { url })
    const { sessionId } = await cdp.send('Target.attachToTarget', { targetId, flatten: true })
    return { targetId: String(targetId), sessionId: String(sessionId) }
  }

  for (const [name, address] of [
    ['https', (url: string) => url],
    ['https with a slash at its end', (url: string) => `${url}/`],
    ['wss', wss],
    ['wss with a slash at its end', (url: string) => `${wss(url)}/`],
  ] as const) {
    it(`Playwright connects by the address in the form ${name}`, async () => {
      const browser = await chromium.connectOverCDP(address(alice.urls.cdp), { headers: headers() })
      assert.equal(await browser.contexts()[0]?.pages()[0]?.evaluate('6 * 7'), 42)
      await browser.close()
    })

    it(`Puppeteer connects by the address in the form ${name}`, async () => {
      const url = address(alice.urls.cdp)
      const where = url.startsWith('wss') ? { browserWSEndpoint: url } : { browserURL: url }
      const browser = await puppeteer.connect({ ...where, headers: headers(), defaultViewport: null })
      assert.equal(await (await browser.pages())[0]?.evaluate('6 * 7'), 42)
      await browser.disconnect()
    })
  }

  it('the sockets that discovery names are below the public path, and each leads to its target', async () => {
    const { webSocketDebuggerUrl: ofBrowser } = await discover('/json/version')
    const made = await discover('/json/new?about:blank%23made', 'PUT')
    const list: { id: string; webSocketDebuggerUrl: string }[] = await discover('/json/list/')
    const ofPage = list.find(({ id }) => id === made.id)?.webSocketDebuggerUrl ?? ''
    assert.equal(made.webSocketDebuggerUrl, ofPage)
    for (const url of [ofBrowser, ofPage]) assert(url.startsWith(`${wss(front.url)}/cdp/${alice.ownerHash}/`), url)
    await withCdp(ofBrowser, async cdp => {
      assert.match(String((await cdp.send('Browser.getVersion')).product), /^Chrome\//)
    })
    await withCdp(ofPage, async cdp => {
      const { result } = await cdp.send('Runtime.evaluate', { expression: 'location.hash' })
      assert.deepEqual(result, { type: 'string', value: '#made' })
    })
    // Text, not JSON: "Target is closing".
    assert.equal((await fetch(`${alice.urls.cdp}/json/close/${made.id}`, { headers: headers() })).status, 200)
  })

  it('a message of 100 MiB passes whole, and neither the gateway nor the agent ever holds it', async () => {
    const size = 100 * mebibyte
    const pids = [stack.gateway().pid, stack.agent().pid]
    await withCdp(inner(), async cdp => {
      const { sessionId } = await attach(cdp, 'about:blank')
      // Once, so that what is measured is not the first use of everything.
      await cdp.send('Runtime.evaluate', { expression: `'x'.repeat(${mebibyte})` }, sessionId)
      for (const pid of pids) forgetPeak(pid)
      const before = pids.map(peakOf)
      const { result } = await cdp.send('Runtime.evaluate', { expression: `'x'.repeat(${size})` }, sessionId)
      const growth = pids.map((pid, n) => Math.round((peakOf(pid) - (before[n] ?? 0)) / mebibyte))
      assert.equal((result as { value: string }).value.length, size)
      // Node lets up to 64 MiB of buffers that were passed on pile up before it collects them.
      for (const grown of growth) assert(grown < 90, `gateway and agent grew by ${growth} MiB`)
    })
  })

  it('a message of 20 MiB to the browser passes whole', async () => {
    await withCdp(inner(), async cdp => {
      const { sessionId } = await attach(cdp, 'about:blank')
      const expression = `'${'x'.repeat(20 * mebibyte)}'.length`
      const { result } = await cdp.send('Runtime.evaluate', { expression }, sessionId)
      assert.equal((result as { value: number }).value, 20 * mebibyte)
    })
  })

  it('fifty pages are attached to, each with a session of its own', async () => {
    const many = await ensure(stack, { userId: 'many' })
    const url = `ws://127.0.0.1:${gatewayPort}/cdp/${many.ownerHash}`
    await withCdp(url, async cdp => {
      await cdp.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: true })
      const made = await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          cdp.send('Target.createTarget', { url: pageOf(`<title>page ${n}</title>`) }),
        ),
      )
      const sessions = await Promise.all(
        made.map(async ({ targetId }) => {
          const isIt = ({ params }: { params: { targetInfo?: { targetId?: unknown } } }) =>
            params.targetInfo?.targetId === targetId
          return String((await cdp.event('Target.attachedToTarget', isIt, 60_000)).params.sessionId)
        }),
      )
      // The first document of a page may be on its way out when it is asked.
      const titles = await eventually(async () => {
        const results = sessions.map(session => cdp.send('Runtime.evaluate', { expression: 'document.title' }, session))
        const seen = (await Promise.all(results)).map(({ result }) => (result as { value: string }).value)
        assert(seen.every(Boolean), `only ${seen.filter(Boolean).length} have loaded`)
        return seen
      }, 60_000)
      assert.deepEqual(
        titles,
        Array.from({ length: 50 }, (_, n) => `page ${n}`),
      )
    })
    await remove(stack, many.id)
  })

  it('a trace comes over the stream that DevTools write it to', async () => {
    const browser = await chromium.connectOverCDP(alice.urls.cdp, { headers: headers() })
    const page = await browser.contexts()[0]?.newPage()
    assert(page)
    await browser.startTracing(page, { screenshots: true })
    await page.goto(pageOf('<title>traced</title><h1>seen</h1>'))
    const trace = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: { name: string }[] }
    assert(trace.traceEvents.length > 100)
    assert(trace.traceEvents.some(({ name }) => name === 'navigationStart'))
    await page.close()
    await browser.close()
  })

  it('a file that a page downloads is in the runtime, and comes to the client over a stream of DevTools', async () => {
    const content = Buffer.from(Array.from({ length: 3 * mebibyte }, (_, n) => (n * 7) % 251))
    const folder = '/tmp/downloads'
    await withCdp(inner(), async cdp => {
      const behavior = { behavior: 'allow', downloadPath: folder, eventsEnabled: true }
      await cdp.send('Browser.setDownloadBehavior', behavior)
      const html = `<a id="get" download="wanted.bin">get</a><input id="file" type="file"><script>
        const bytes = new Uint8Array(${content.length}).map((_, n) => (n * 7) % 251)
        document.querySelector('#get').href = URL.createObjectURL(new Blob([bytes]))
      </script>`
      const { sessionId } = await attach(cdp, pageOf(html))
      await cdp.send(
        'Runtime.evaluate',
        {
          expression:
            'new Promise(done => document.readyState === "complete" ? done() : addEventListener("load", done))',
          awaitPromise: true,
        },
        sessionId,
      )
      await cdp.send(
        'Runtime.evaluate',
        { expression: 'document.querySelector("#get").click()', userGesture: true },
        sessionId,
      )
      const { params } = await cdp.event('Browser.downloadProgress', event => event.params.state !== 'inProgress')
      assert.equal(params.state, 'completed')
      // A file field takes any file of the browser's machine, and its blob can be read as a stream.
      const { root } = await cdp.send('DOM.getDocument', {}, sessionId)
      const { nodeId } = await cdp.send(
        'DOM.querySelector',
        { nodeId: (root as { nodeId: number }).nodeId, selector: '#file' },
        sessionId,
      )
      await cdp.send('DOM.setFileInputFiles', { nodeId, files: [`${folder}/wanted.bin`] }, sessionId)
      const { result } = await cdp.send(
        'Runtime.evaluate',
        { expression: 'document.querySelector("#file").files[0]' },
        sessionId,
      )
      const { objectId } = result as { objectId: string }
      const { uuid } = await cdp.send('IO.resolveBlob', { objectId }, sessionId)
      assert(content.equals(await readStream(cdp, `blob:${uuid}`, sessionId)), 'the file is not what was downloaded')
    })
  })

  it('after a restart of the gateway a client is told, connects again, and finds its pages as they were', async () => {
    const connect = () => chromium.connectOverCDP(alice.urls.cdp, { headers: headers() })
    const kept = (browser: Browser) =>
      Promise.all((browser.contexts()[0]?.pages() ?? []).map(page => page.evaluate('window.kept')))
    const first = await connect()
    const page = await first.contexts()[0]?.newPage()
    await page?.evaluate('window.kept = 41')
    const told = new Promise(resolve => first.once('disconnected', resolve))
    await stack.restartGateway()
    await told
    const second = await connect()
    assert((await kept(second)).includes(41), 'the page is not as it was')
    await second.close()
  })
})
