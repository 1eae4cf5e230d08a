import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { ensureImage } from '../image/build.ts'
import { createLab, type Lab, type Runtime } from './testing/lab.ts'

/** Names of the loopback that a page may try; the last is a name that somebody's DNS points there. */
const names = [
  '127.0.0.1',
  'localhost',
  '[::1]',
  '[::ffff:127.0.0.1]',
  '2130706433',
  '0x7f.1',
  '0.0.0.0',
  'rebound.test',
]

let lab: Lab
let runtime: Runtime
let site: Server
let origins: string[]
/** Port of Chromium's own DevTools, which ask for no key. */
let inner = ''
/** A page on a server of the network, which stands for any site. */
let url = ''

before(
  async () => {
    // Of documentation (RFC 5737): Chromium takes it for the internet, whose pages it keeps from nearer addresses.
    const first = 128 + 16 * randomInt(8)
    lab = await createLab({ Subnet: `198.51.100.${first}/28`, Gateway: `198.51.100.${first + 1}` })
    const { tag } = await ensureImage({
      docker: lab.docker,
      network: lab.network,
      signal: AbortSignal.timeout(20 * 60_000),
    })
    lab.image = tag
    site = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<title>site</title>'))
    await new Promise<void>(resolve => site.listen(0, lab.gateway, resolve))
    url = `http://${lab.gateway}:${(site.address() as AddressInfo).port}/`
    runtime = await lab.start({ hosts: ['rebound.test:127.0.0.1'] })
    inner = (await lab.exec(runtime, ['cat', '/data/profile/DevToolsActivePort'])).split('\n')[0] ?? ''
    assert.match(inner, /^\d+$/)
    origins = names.flatMap(name => ['8787', '9222', '6080', inner].map(port => `${name}:${port}`))
  },
  { timeout: 25 * 60_000 },
)

after(async () => {
  site?.close()
  site?.closeAllConnections()
  await lab?.close()
})

const evaluate = async (expression: string, timeoutMs = 30_000): Promise<unknown> => {
  const answer = await lab.run(runtime, [
    { type: 'goto', url },
    { type: 'evaluate', expression, timeoutMs },
  ])
  const [gone, value] = answer.json().results
  assert.equal(gone?.ok, true, answer.text)
  assert.equal(value?.ok, true, answer.text)
  return value.value
}

/** Runs `attempt(origin)` in the page for every origin at once; gives the origins it got something from. */
const gotThrough = (attempt: string): Promise<unknown> =>
  evaluate(`(async () => {
    const attempt = ${attempt}
    const late = new Promise(resolve => setTimeout(resolve, 8000, 'silence'))
    const outcomes = await Promise.all(${JSON.stringify(origins)}.map(async origin =>
      [origin, await Promise.race([attempt(origin).catch(error => 'refused'), late])]))
    return outcomes.filter(([, outcome]) => outcome !== 'refused' && outcome !== 'silence').map(pair => pair.join(' '))
  })()`)

test('the site itself is reached, in every way that is tried below', async () => {
  const reached = await evaluate(`(async () => {
    await fetch(location.href, { mode: 'no-cors' })
    return (await fetch(location.href)).status
  })()`)
  assert.equal(reached, 200)
})

test('fetch gets nothing from the loopback, whatever it is called', async () => {
  for (const options of ["{ mode: 'no-cors' }", '{}', "{ mode: 'no-cors', method: 'POST', body: 'x' }"]) {
    const attempt = `async origin => (await fetch('http://' + origin + '/json/version', ${options})).type`
    assert.deepEqual(await gotThrough(attempt), [], options)
  }
})

test('no WebSocket opens', async () => {
  const attempt = `origin => new Promise(resolve => {
    const socket = new WebSocket('ws://' + origin + '/websockify')
    socket.onopen = () => resolve('open')
    socket.onerror = () => resolve('refused')
  })`
  assert.deepEqual(await gotThrough(attempt), [])
})

test('no EventSource opens', async () => {
  const attempt = `origin => new Promise(resolve => {
    const source = new EventSource('http://' + origin + '/health')
    source.onopen = () => resolve('open')
    source.onerror = () => { source.close(); resolve('refused') }
  })`
  assert.deepEqual(await gotThrough(attempt), [])
})

test('scripts, pictures and styles do not load', async () => {
  for (const [tag, field] of [
    ['script', 'src'],
    ['img', 'src'],
    ['link', 'href'],
  ]) {
    const attempt = `origin => new Promise(resolve => {
      const element = document.createElement('${tag}')
      element.rel = 'stylesheet'
      element.onload = () => resolve('loaded')
      element.onerror = () => resolve('refused')
      element.${field} = 'http://' + origin + '/json/version'
      document.head.append(element)
    })`
    assert.deepEqual(await gotThrough(attempt), [], tag)
  }
})

test('a worker, too, gets nothing', async () => {
  const worker = `onmessage = async ({ data }) => {
    try { postMessage((await fetch('http://' + data + '/json/version', { mode: 'no-cors' })).type) }
    catch { postMessage('refused') }
  }`
  const attempt = `origin => new Promise(resolve => {
    const worker = new Worker(URL.createObjectURL(new Blob([${JSON.stringify(worker)}])))
    worker.onmessage = ({ data }) => { worker.terminate(); resolve(data) }
    worker.postMessage(origin)
  })`
  assert.deepEqual(await gotThrough(attempt), [])
})

/** What Chromium shows after a navigation: the address it ended at and the text of the page. */
const shown = async (start: string): Promise<{ at: string; text: string }> => {
  const marker = randomBytes(4).toString('hex')
  await evaluate(`document.title = '${marker}'; setTimeout(() => { ${start} }, 0); 0`)
  const look = {
    type: 'evaluate',
    expression: '({ at: location.href, title: document.title, text: document.body?.innerText ?? "" })',
  }
  const deadline = AbortSignal.timeout(10_000)
  for (;;) {
    const value = (await lab.run(runtime, [look])).json().results[0]?.value
    if (value && value.title !== marker) return value
    assert.ok(!deadline.aborted, `${start} led nowhere`)
  }
}

const assertRefused = ({ at, text }: { at: string; text: string }, start: string) => {
  const isErrorPage = at.startsWith('chrome-error:')
  // The last is Chromium's own, for a name that is none of its.
  const isRefusal =
    /"status":\s*(401|403|421|404|405)|"code":\s*"(unauthorized|wrong-host|origin-refused)"|^Host header is specified and is not an IP address or localhost/.test(
      text,
    )
  assert.ok(isErrorPage || isRefusal, `${start} shows ${at}: ${text.slice(0, 200)}`)
  assert.doesNotMatch(text, /webSocketDebuggerUrl|"chromium"|devtoolsFrontendUrl/)
}

test('a navigation shows a refusal and nothing of the runtime', { timeout: 120_000 }, async () => {
  for (const origin of origins.filter(one => !one.endsWith(`:${inner}`))) {
    const start = `location.href = 'http://${origin}/json/version'`
    assertRefused(await shown(start), start)
  }
})

test('a navigation to its own DevTools shows nothing either', {}, async () => {
  for (const origin of origins.filter(one => one.endsWith(`:${inner}`))) {
    const start = `location.href = 'http://${origin}/json/version'`
    assertRefused(await shown(start), start)
  }
})

test('a form that is posted there is refused', { timeout: 120_000 }, async () => {
  for (const origin of origins) {
    const start = `const form = document.createElement('form'); form.method = 'POST'; form.action = 'http://${origin}/run';
      form.enctype = 'text/plain'; form.innerHTML = '<input name="{&quot;actions&quot;:[" value="]}">'; document.body.append(form); form.submit()`
    assertRefused(await shown(start), start)
  }
})

test('a frame shows a refusal, and its page can not be read', async () => {
  const attempt = `origin => new Promise(resolve => {
    const frame = document.createElement('iframe')
    frame.src = 'http://' + origin + '/json/version'
    frame.onload = () => { let text; try { text = frame.contentDocument?.body.innerText } catch {} resolve(text ? 'read ' + text : 'refused') }
    document.body.append(frame)
  })`
  assert.deepEqual(await gotThrough(attempt), [])
})
