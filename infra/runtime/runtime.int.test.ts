import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import WebSocket from 'ws'
import { ensureImage } from '../image/build.ts'
import { connectCdpSocket } from './testing/cdp-socket.ts'
import { createLab, key, type Lab, type Runtime } from './testing/lab.ts'
import { colorAt, connectRfb, type RfbClient } from './testing/rfb-client.ts'

let lab: Lab
let shared: Runtime

before(
  async () => {
    lab = await createLab()
    const { tag } = await ensureImage({
      docker: lab.docker,
      network: lab.network,
      signal: AbortSignal.timeout(20 * 60_000),
    })
    lab.image = tag
    shared = await lab.start({})
  },
  { timeout: 25 * 60_000 },
)

after(async () => {
  await lab?.close()
})

const page = (html: string) => `data:text/html,${encodeURIComponent(html)}`
const status = async (runtime: Runtime, port: number, path: string, headers: Record<string, string>) =>
  (await lab.request(runtime, port, path, headers)).status

/** Ends the browser process: the others go with it. */
const killChromium = `for p in /proc/[0-9]*; do
  [ "$(cat $p/comm)" = chromium ] && ! grep -q -- --type= $p/cmdline && kill -9 \${p#/proc/}
done; true`

test('health answers only with the key, an address as Host and no Origin', async () => {
  const health = await lab.request(shared, 8787, '/health', { 'x-porthole-key': key })
  assert.equal(health.status, 200)
  assert.match(health.json().chromium, /^Chrome\/\d+/)
  assert.equal(health.json().lastInputAt, null)
  for (const [port, path] of [
    [8787, '/health'],
    [9222, '/json/version'],
    [6080, '/websockify'],
  ] as const) {
    assert.equal(await status(shared, port, path, {}), 401)
    assert.equal(await status(shared, port, path, { 'x-porthole-key': 'wrong' }), 401)
    assert.equal(await status(shared, port, path, { 'x-porthole-key': key, host: 'evil.test' }), 421)
    assert.equal(await status(shared, port, path, { 'x-porthole-key': key, origin: `http://${shared.address}` }), 403)
  }
})

test('upgrades are refused like requests', async () => {
  for (const [url, headers, expected] of [
    [`ws://${shared.address}:9222/`, {}, 401],
    [`ws://${shared.address}:9222/`, { 'x-porthole-key': key, origin: 'https://evil.test' }, 403],
    [`ws://${shared.address}:6080/websockify`, { 'x-porthole-key': key, host: 'evil.test' }, 421],
    [`ws://${shared.address}:6080/other`, { 'x-porthole-key': key }, 404],
    [`ws://${shared.address}:9222/devtools/other`, { 'x-porthole-key': key }, 404],
    // Chromium's own answer, passed on.
    [`ws://${shared.address}:9222/devtools/page/nope`, { 'x-porthole-key': key }, 500],
  ] as const) {
    const socket = new WebSocket(url, { headers })
    const refused = await new Promise<number | undefined>(resolve => {
      socket.once('unexpected-response', (_, response) => resolve(response.statusCode))
      socket.once('open', () => resolve(101))
      socket.once('error', () => resolve(undefined))
    })
    socket.on('error', () => {})
    socket.terminate()
    assert.equal(refused, expected, url)
  }
})

test('DevTools are driven through the addresses that discovery gives', async () => {
  const headers = { 'x-porthole-key': key }
  const version = (await lab.request(shared, 9222, '/json/version/', headers)).json()
  assert.ok(version.webSocketDebuggerUrl.startsWith(`ws://${shared.address}:9222/devtools/browser/`))
  for (const url of [version.webSocketDebuggerUrl, `ws://${shared.address}:9222/`]) {
    const cdp = await connectCdpSocket(url, headers)
    const { product } = await cdp.send('Browser.getVersion', {})
    assert.match(String(product), /^Chrome\//)
    cdp.close()
  }
})

test('actions draw a page, type into it and picture it, on the screen that people see', async () => {
  const html = '<body style="margin:0;background:rgb(0,128,64)"><input id=a autofocus>'
  const { status, json } = await lab.run(shared, [
    { type: 'goto', url: page(html) },
    { type: 'type', selector: '#a', text: 'hello' },
    { type: 'press', key: 'X' },
    { type: 'evaluate', expression: 'document.querySelector("#a").value' },
    { type: 'screenshot' },
    { type: 'pdf' },
    { type: 'content' },
  ])
  assert.equal(status, 200)
  const { results } = json()
  assert.deepEqual(
    results.map(({ ok }: { ok: boolean }) => ok),
    Array(7).fill(true),
  )
  assert.equal(results[3].value, 'helloX')
  assert.equal(Buffer.from(results[4].data, 'base64').toString('latin1', 1, 4), 'PNG')
  assert.equal(Buffer.from(results[5].data, 'base64').toString('latin1', 0, 4), '%PDF')
  assert.match(results[6].value, /<input id="a"/)
  // The window fills the screen: page at the bottom corners, no decoration around it.
  const view = await connectRfb(`ws://${shared.address}:6080/websockify`, { 'x-porthole-key': key })
  assert.equal(view.socket.protocol, 'binary')
  await view.captureUntil(picture => {
    const corners = [
      [1, 799],
      [1278, 799],
      [640, 600],
    ] as const
    return corners.every(([x, y]) => colorAt(picture, x, y).join() === '0,128,64')
  })
  view.close()
})

test('results stream line by line on request, and a failed action ends the run', async () => {
  const actions = [
    { type: 'evaluate', expression: '1' },
    { type: 'wait', selector: '#never', timeoutMs: 100 },
    { type: 'content' },
  ]
  const answer = await lab.run(shared, actions, { accept: 'application/x-ndjson' })
  const lines = answer.text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  assert.deepEqual(
    lines.map(({ type, ok }) => [type, ok]),
    [
      ['evaluate', true],
      ['wait', false],
    ],
  )
  assert.equal(lines[1].error.code, 'timeout')
})

test('a run that does not fit its schema is a 400 with pointers, one over 1 MiB a 413; a task without a model is a 501', async () => {
  const bad = await lab.run(shared, [{ type: 'content', speed: 1 }])
  assert.equal(bad.status, 400)
  assert.deepEqual(bad.json().errors, [{ pointer: '/actions/0/speed', detail: 'is not known here' }])
  const large = await lab.run(shared, [{ type: 'evaluate', expression: 'x'.repeat(1024 * 1024) }])
  assert.equal(large.status, 413)
  const task = await lab.request(shared, 8787, '/run', { 'x-porthole-key': key }, JSON.stringify({ task: 'x' }))
  assert.deepEqual([task.status, task.json().code], [501, 'no-model'])
})

test('who watches can’t type or click, who controls can, and only that counts as input', async () => {
  const evaluate = async (expression: string) => {
    const { json } = await lab.run(shared, [{ type: 'evaluate', expression, timeoutMs: 5000 }])
    return json().results[0].value
  }
  const lastInputAt = async () =>
    (await lab.request(shared, 8787, '/health', { 'x-porthole-key': key })).json().lastInputAt
  const use = async (access: string, input: (view: RfbClient) => void) => {
    const headers = { 'x-porthole-key': key, 'x-porthole-access': access }
    const view = await connectRfb(`ws://${shared.address}:6080/websockify`, headers)
    input(view)
    // Messages are answered in order: with this picture the input was handled, or dropped.
    await view.capture()
    view.close()
  }
  const click = (view: RfbClient) => {
    view.pointer(640, 400, 1)
    view.pointer(640, 400, 0)
  }
  const typeX = (view: RfbClient) => view.key(0x78)
  const seen = (wanted: string) =>
    evaluate(
      `new Promise(r => { const f = () => seen === ${JSON.stringify(wanted)} ? r(seen) : requestAnimationFrame(f); f() })`,
    )
  const script = 'seen = ""; onclick = () => { seen += "click " }; onkeydown = e => { seen += e.key + " " }'
  await lab.run(shared, [{ type: 'goto', url: page(`<script>${script}</script>`) }])
  const before = await lastInputAt()
  await use('view', click)
  await use('view', typeX)
  assert.equal(await evaluate('seen'), '')
  assert.equal(await lastInputAt(), before)
  await use('control', click)
  assert.equal(await seen('click '), 'click ')
  await use('control', typeX)
  assert.equal(await seen('click x '), 'click x ')
  assert.ok(Date.parse(await lastInputAt()) > 0)
})

test('input, DevTools messages and actions are use; a view that is watched, pings and health checks are none', async () => {
  const headers = { 'x-porthole-key': key }
  const unusedMs = async (): Promise<number> => (await lab.request(shared, 8787, '/health', headers)).json().unusedMs
  /** That it has been unused for so long, and so is not used by what is open. */
  const waitUnused = async (ms: number) => {
    for (const deadline = AbortSignal.timeout(10_000); (await unusedMs()) < ms; ) deadline.throwIfAborted()
  }
  const isUse = async (what: string, act: () => Promise<unknown>) => {
    await waitUnused(700)
    await act()
    assert.ok((await unusedMs()) < 500, what)
  }
  const view = await connectRfb(`ws://${shared.address}:6080/websockify`, headers)
  const cdp = await connectCdpSocket(`ws://${shared.address}:9222/`, headers)
  await waitUnused(300)
  const before = await unusedMs()
  await view.capture()
  const pong = once(cdp.socket, 'pong', { signal: AbortSignal.timeout(5000) })
  cdp.socket.ping()
  await pong
  assert.ok((await unusedMs()) >= before, 'updates of a view and pings of a DevTools client')
  await isUse('a key', async () => {
    view.key(0x78)
    await view.capture()
  })
  await isUse('the pointer', async () => {
    view.pointer(10, 10, 0)
    await view.capture()
  })
  await isUse('a paste', async () => {
    view.socket.send(Buffer.concat([Buffer.from([6, 0, 0, 0, 0, 0, 0, 2]), Buffer.from('hi')]))
    await view.capture()
  })
  await isUse('a DevTools message', () => cdp.send('Browser.getVersion', {}))
  await isUse('actions', () => lab.run(shared, [{ type: 'wait', ms: 1 }]))
  cdp.close()
  view.close()
})

test('every character of the keyboard arrives, however fast it is typed', async () => {
  const keyboard = readFileSync(join(import.meta.dirname, 'etc/keyboard.xkb'), 'utf8')
  // Behind each key's keysyms are the characters that they are.
  const keys = [...keyboard.matchAll(/^ *key .*?((?:(?:, )?0x[0-9a-f]+)+) \] \}; \/\/ (.*)$/gm)]
  const keysyms = keys.flatMap(([, listed = '']) => listed.match(/0x[0-9a-f]+/g) ?? []).map(Number)
  const text = keys.map(([, , characters]) => characters).join('')
  assert.equal(keysyms.length, text.length)
  assert.match(text, /ü.*ß.*€.*ф.*ω/)
  const html =
    '<textarea id=a autofocus style="width:100vw;height:100vh"></textarea><script>seen = 0; onmousedown = () => { seen = 1 }</script>'
  await lab.run(shared, [{ type: 'goto', url: page(html) }])
  const view = await connectRfb(`ws://${shared.address}:6080/websockify`, { 'x-porthole-key': key })
  for (const button of [1, 0]) view.pointer(640, 400, button)
  const until = async (expression: string) =>
    (
      await lab.run(shared, [
        {
          type: 'evaluate',
          expression: `new Promise(r => { const f = () => ${expression} ? r(a.value) : requestAnimationFrame(f); f() })`,
          timeoutMs: 10_000,
        },
      ])
    ).json().results[0].value
  await until('seen')
  for (const keysym of keysyms) view.key(keysym)
  assert.equal(await until(`a.value.length >= ${text.length}`), text)
  view.close()
})

test('Chromium’s own sandbox is on: renderers are in other namespaces and under its own seccomp filter', async () => {
  const script = `for p in /proc/[0-9]*; do
    [ "$(cat $p/comm)" = chromium ] && tr '\\0' ' ' < $p/cmdline | grep -q -- '--type=renderer' &&
      echo "$(readlink $p/ns/pid) $(grep Seccomp_filters $p/status | tr -dc 0-9)"
  done; readlink /proc/self/ns/pid; grep Seccomp_filters /proc/self/status | tr -dc 0-9`
  const lines = (await lab.exec(shared, ['sh', '-c', script])).trim().split('\n')
  const [ownPid, ownFilters] = lines.splice(-2)
  assert.ok(lines.length > 0, 'there is a renderer')
  for (const line of lines) {
    const [, pid, filters] = /^(\S*) (\d+)$/.exec(line) ?? []
    assert.notEqual(pid, ownPid)
    assert.ok(Number(filters) > Number(ownFilters), line)
  }
})

test('nothing in the container that runs as the browser can read the key', async () => {
  // The shell that looks has the key itself, from docker exec: it looks at what else runs.
  const script = `for p in /proc/[0-9]*; do
    case $(cat $p/comm) in chromium|chrome_*|openbox|Xtigervnc|tini|node|MainThread)
      echo "$(cat $p/comm): $(tr '\\0' ' ' 2>&1 < $p/environ) $(tr '\\0' ' ' < $p/cmdline)" ;;
    esac
  done`
  const lines = (await lab.exec(shared, ['sh', '-c', script])).trim().split('\n')
  assert.ok(lines.some(line => line.startsWith('tini') && line.includes('Permission denied')))
  assert.ok(lines.some(line => line.startsWith('openbox') && line.includes('DISPLAY=:')))
  assert.ok(!lines.some(line => line.includes(key)))
})

test('cookies set just before a stop are there after the next start, session cookies too', async () => {
  const seen: (string | undefined)[] = []
  const site = createServer((request, response) => {
    if (request.url === '/') seen.push(request.headers.cookie)
    response.setHeader('set-cookie', ['session=1', 'lasting=2; max-age=9999']).end('hello')
  }).listen(0, lab.gateway)
  const url = () => `http://${lab.gateway}:${(site.address() as AddressInfo).port}/`
  const volume = await lab.volume()
  try {
    const first = await lab.start({ volume })
    assert.equal((await lab.run(first, [{ type: 'goto', url: url() }])).json().results[0].ok, true)
    assert.equal(await lab.stop(first), 0)
    const second = await lab.start({ volume })
    await lab.run(second, [{ type: 'goto', url: url() }])
    assert.equal(seen.at(0), undefined)
    assert.match(seen.at(-1) ?? '', /session=1; lasting=2/)
    await lab.remove(second)
  } finally {
    site.close()
    site.closeAllConnections()
  }
})

test('a runtime that was killed starts again under another hostname, over the locks it left', async () => {
  const volume = await lab.volume()
  const first = await lab.start({ volume })
  const locks = await lab.exec(first, ['sh', '-c', 'ls -d /data/profile/Singleton*'])
  assert.match(locks, /SingletonLock/)
  await lab.remove(first)
  const second = await lab.start({ volume })
  assert.equal((await lab.run(second, [{ type: 'evaluate', expression: '1' }])).status, 200)
  await lab.remove(second)
})

test('an owner who comes after the start gives their settings by the key alone; only one that waited takes them', async () => {
  const runtime = await lab.start({ env: ['PORTHOLE_WARM=1'] })
  const settings = JSON.stringify({
    env: { MODEL_DEFAULT: 'm', OPENAI_API_KEY: 'hush', OPENAI_BASE_URL: 'http://m.example' },
    viewUrl: 'https://p/view',
  })
  const give = async (headers: Record<string, string>, body = settings) =>
    (await lab.request(runtime, 8787, '/personal', headers, body)).status
  assert.equal(await give({}), 401)
  assert.equal(await give({ 'x-porthole-key': key, origin: `http://${runtime.address}` }), 403)
  assert.equal(await give({ 'x-porthole-key': key, host: 'evil.test' }), 421)
  assert.equal(await give({ 'x-porthole-key': key }, '{"env":{"LD_PRELOAD":"/data/x.so"}}'), 400)
  assert.equal(await give({ 'x-porthole-key': key }), 204)
  assert.equal(await give({ 'x-porthole-key': key }), 204)
  assert.equal(await give({ 'x-porthole-key': key }, '{"env":{}}'), 409)
  const health = await lab.request(runtime, 8787, '/health', { 'x-porthole-key': key })
  assert.equal(health.json().viewUrl, 'https://p/view')
  const task = await lab.request(runtime, 8787, '/run', { 'x-porthole-key': key }, '{"task":"x"}')
  // Without a model it would be `no-model`.
  assert.equal(task.json().code, 'task-not-supported')
  const log = (await runtime.container.logs({ stdout: true, stderr: true })).toString()
  assert.ok(!log.includes('hush'))
  const own = await lab.start({})
  assert.equal((await lab.request(own, 8787, '/personal', { 'x-porthole-key': key }, settings)).status, 404)
  await lab.remove(own)
  await lab.remove(runtime)
})

test('a Chromium that is killed is started again with its pages, and then without; one that keeps dying ends the container with a reason', async () => {
  const runtime = await lab.start({})
  const open = async () => {
    const { json } = await lab.request(runtime, 9222, '/json/list', { 'x-porthole-key': key })
    return (json() as { type: string; url: string }[]).flatMap(({ type, url }) => (type === 'page' ? [url] : []))
  }
  const writtenDown = `until grep --quiet --recursive '3Ekept' /data/profile/Default/Sessions/Session_*; do sleep 0.2; done`
  const kept = page('<title>kept</title>')
  await lab.run(runtime, [{ type: 'goto', url: kept }])
  for (let i = 0; i < 4; i += 1) {
    if (i < 2) await lab.exec(runtime, ['sh', '-c', writtenDown])
    await lab.exec(runtime, ['sh', '-c', killChromium])
    if (i < 3) await lab.ready(runtime)
    // Its pages come back once: when it ends again within the minute, they may be why.
    if (i < 2) assert.deepEqual(await open(), [i === 0 ? kept : 'about:blank'])
  }
  const { code, log } = await lab.ended(runtime)
  assert.equal(code, 1)
  assert.match(log, /restarts within 60 s did not help/)
})

test('without a screen Chromium runs headless, is driven all the same, and views are refused', async () => {
  const runtime = await lab.start({ env: ['BROWSER_ENABLE_UI=off'] })
  const { json } = await lab.run(runtime, [
    { type: 'goto', url: page('<title>quiet</title>') },
    { type: 'evaluate', expression: 'document.title' },
    { type: 'screenshot' },
  ])
  assert.equal(json().results[1].value, 'quiet')
  assert.equal(json().results[2].ok, true)
  assert.doesNotMatch(await lab.exec(runtime, ['sh', '-c', 'cat /proc/[0-9]*/comm']), /Xtigervnc|openbox/)
  await assert.rejects(connectRfb(`ws://${runtime.address}:6080/websockify`, { 'x-porthole-key': key }), /503/)
  await lab.remove(runtime)
})
