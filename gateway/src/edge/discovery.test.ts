import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { it, type TestContext } from 'node:test'
import { problemHeader } from '@porthole/protocol'
import { request } from 'undici'
import { createAgentConnections } from '../agents/connections.ts'
import { Problem } from '../problem.ts'
import { fetchDiscovery, publicDiscovery } from './discovery.ts'

const hash = '2bd806c97f0e00af'

it('socket URLs come back through the gateway, as wss where it is https', () => {
  const list = [
    {
      id: 'A',
      title: 'ws://x/devtools/page/A',
      devtoolsFrontendUrl: '/devtools/inspector.html?ws=10.0.0.2:9222/devtools/page/A',
      webSocketDebuggerUrl: 'ws://172.18.0.2:9222/devtools/page/A',
    },
  ]
  assert.deepEqual(publicDiscovery('https://b.example.com/x', hash, list), [
    {
      id: 'A',
      title: 'ws://x/devtools/page/A',
      webSocketDebuggerUrl: `wss://b.example.com/x/cdp/${hash}/devtools/page/A`,
    },
  ])
  const version = { Browser: 'Chrome/1', webSocketDebuggerUrl: 'ws://127.0.0.1/devtools/browser/b-1' }
  assert.deepEqual(publicDiscovery('http://127.0.0.1:4747', hash, version), {
    Browser: 'Chrome/1',
    webSocketDebuggerUrl: `ws://127.0.0.1:4747/cdp/${hash}/devtools/browser/b-1`,
  })
})

it('a socket URL that leads elsewhere is left out', () => {
  assert.deepEqual(publicDiscovery('https://b', hash, { webSocketDebuggerUrl: 'ws://evil/' }), {})
  assert.deepEqual(publicDiscovery('https://b', hash, { webSocketDebuggerUrl: 'not a url' }), {})
})

/** A gateway's way to a host whose DevTools do as the test says. */
const bench = async (t: TestContext, devTools: http.RequestListener) => {
  const server = http.createServer(devTools)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connections = createAgentConnections()
  t.after(async () => {
    await connections.close()
    server.closeAllConnections()
    server.close()
  })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const fetch = (changes: { signal?: AbortSignal; deadlineMs?: number } = {}) =>
    fetchDiscovery(
      { connections, base: 'https://b' },
      {
        ...{ ownerHash: hash, method: 'GET', target: { origin, path: '/json/list', headers: {} } },
        signal: new AbortController().signal,
        deadlineMs: 10_000,
        ...changes,
      },
    )
  return { server, connections, origin, fetch }
}

const refused = (code: string, what: RegExp) => (error: unknown) => {
  assert(error instanceof Problem)
  assert.equal(error.code, code)
  assert.match(error.extra.detail ?? '', what)
  return true
}

for (const [what, devTools] of [
  ['say nothing', () => {}],
  ['stop in the middle', (_req, res) => res.writeHead(200, { 'content-length': 100 }).write('[{"id"')],
] as const satisfies [string, http.RequestListener][])
  it(`DevTools that ${what} are a 504 that says when to try again`, async t => {
    const { fetch } = await bench(t, devTools)
    await assert.rejects(fetch({ deadlineMs: 100 }), (error: unknown) => {
      assert(error instanceof Problem)
      return (
        refused('upstream-timeout', /in time/)(error) && error.status === 504 && error.extra.retryAfterSeconds === 5
      )
    })
  })

it('DevTools that break off, or are not there, are a 502 that says when to try again', async t => {
  const { fetch, server } = await bench(t, (_req, res) => {
    res.writeHead(200, { 'content-length': 100 }).write('[', () => res.destroy())
  })
  const isBroken = (error: unknown) =>
    refused('upstream-failed', /did not answer/)(error) && (error as Problem).extra.retryAfterSeconds === 1
  await assert.rejects(fetch(), isBroken)
  server.close()
  await assert.rejects(fetch(), isBroken)
})

it('what an agent says of a port counts by the status it gave', async t => {
  const { fetch } = await bench(t, (_req, res) => {
    res.writeHead(504, { [problemHeader]: 'port-unreachable' }).end('{}')
  })
  await assert.rejects(fetch(), (error: unknown) => error instanceof Problem && error.code === 'upstream-timeout')
})

it('DevTools that never end are cut off, and not read on', async t => {
  let sent = 0
  const ended = Promise.withResolvers<void>()
  const { fetch } = await bench(t, (_req, res) => {
    const chunk = Buffer.alloc(65_536, 0x20)
    const more = () => {
      while (!res.destroyed && res.write(chunk)) sent += chunk.length
    }
    res.on('drain', more).on('close', ended.resolve)
    more()
  })
  await assert.rejects(fetch(), refused('upstream-failed', /more than 2 MiB/))
  await ended.promise
  assert(sent < 16 * 1024 ** 2, `${sent} bytes`)
})

for (const [what, document, said] of [
  ['deep JSON', '['.repeat(1024 ** 2) + ']'.repeat(1024 ** 2), /more than 32 levels/],
  ['a crowd of targets', `[${'{},'.repeat(10_000)}{}]`, /more than 10000 targets/],
] as const)
  it(`${what} in place of targets is a 502`, async t => {
    const { fetch } = await bench(t, (_req, res) => res.end(document))
    await assert.rejects(fetch(), refused('upstream-failed', said))
  })

it('a long list of targets, and text that is no JSON, are answered', async t => {
  let body = JSON.stringify(Array.from({ length: 1000 }, (_, n) => ({ id: `${n}`, url: 'about:blank' })))
  const { fetch } = await bench(t, (_req, res) => res.end(body))
  assert.equal(JSON.parse((await fetch()).body).length, 1000)
  body = 'Target is closing'
  assert.deepEqual(await fetch(), { status: 200, body, type: 'text/plain; charset=UTF-8' })
})

it('a question that nobody waits for is given up', async t => {
  const [asked, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const { fetch } = await bench(t, (_req, res) => {
    res.on('close', ended.resolve)
    asked.resolve()
  })
  const over = new AbortController()
  const answer = assert.rejects(
    fetch({ signal: over.signal, deadlineMs: 60_000 }),
    refused('not-running', /out of reach/),
  )
  await asked.promise
  const from = performance.now()
  over.abort()
  await answer
  await ended.promise
  assert(performance.now() - from < 10_000)
})

it('questions that hang, more than there are connections for commands, hold up no command', async t => {
  const hung = 100
  let count = 0
  const all = Promise.withResolvers<void>()
  const { fetch, connections, origin } = await bench(t, (req, res) => {
    if (req.url === '/command') res.end('done')
    else if (++count === hung) all.resolve()
  })
  const over = new AbortController()
  const questions = Array.from({ length: hung }, () => fetch({ signal: over.signal }))
  const settled = Promise.allSettled(questions)
  await all.promise
  const { body } = await request(`${origin}/command`, {
    dispatcher: connections.others({ url: origin, certificate: null }),
    signal: AbortSignal.timeout(5000),
  })
  assert.equal(await body.text(), 'done')
  over.abort()
  await settled
})
