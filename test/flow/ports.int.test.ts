import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type BrowserContext, chromium } from 'playwright-core'
import WebSocket from 'ws'
import { chromiumLaunch } from '../kit/chromium.ts'
import { portApp } from '../kit/port-app.ts'
import { authorization, ensure, type Runtime } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'
import { visit } from '../kit/visit.ts'

const specs = {
  site: {
    entrypoint: ['/usr/local/bin/node'],
    command: ['-e', portApp],
    // The last has the name of a door: by this way it is not there.
    ports: { app: 3000, api: 3001, rpc: 3000 },
    health: { port: 'app', path: '/health' },
    memoryBytes: 256 * 1024 ** 2,
  },
}
/** Browsers find every name below it on the loopback. */
const domain = 'localhost'

type Site = Runtime & { urls: { ports: Record<string, string> } }
type Answer = { status: number; headers: http.IncomingHttpHeaders; text: string }

describe('named ports of a runtime', { concurrency: false }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'porthole-specs-'))
  let stack: TestStack
  let site: Site

  before(async () => {
    const file = join(folder, 'specs.json')
    writeFileSync(file, JSON.stringify(specs))
    stack = await startStack({ gatewaySettings: { PORTHOLE_SPECS: file, PORTHOLE_PORT_DOMAIN: domain } })
    site = (await ensure(stack, { userId: 'alice', spec: 'site' })) as unknown as Site
  })
  after(async () => {
    await stack?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const gatewayPort = () => Number(new URL(stack.gatewayUrl).port)
  const hostOf = (name: string) => `${name}-${site.ownerHash}.${domain}:${gatewayPort()}`
  /** By hand: fetch would follow, normalise, and choose its own Host and Origin. */
  const ask = async (path: string, headers: Record<string, string> = {}, { method = 'GET', body = '' } = {}) => {
    const signal = AbortSignal.timeout(60_000)
    const request = http.request({
      host: '127.0.0.1',
      port: gatewayPort(),
      path,
      method,
      headers,
      agent: false,
      signal,
    })
    request.end(body)
    const [answer] = (await once(request, 'response')) as [http.IncomingMessage]
    const text = (await answer.setEncoding('utf8').toArray()).join('')
    return { status: answer.statusCode ?? 0, headers: answer.headers, text } satisfies Answer
  }
  const told = ({ status, text }: Answer) => {
    assert.equal(status, 200, text)
    return JSON.parse(text) as {
      method: string
      url: string
      headers: Record<string, string>
      body: string
      port: number
    }
  }
  const link = async (port: string) => {
    const answer = await stack.call('POST', `/v1/runtimes/${site.id}/tickets`, { port })
    assert.equal(answer.status, 201, await answer.clone().text())
    return ((await answer.json()) as { url: string }).url
  }
  /** The cookie that a person's browser has of a port. */
  const cookieOf = async (port: string) => {
    const { pathname, search } = new URL(await link(port))
    const { status, headers } = await ask(pathname + search, { host: hostOf(port) })
    assert.deepEqual([status, headers.location], [302, '/'])
    const [cookie = ''] = headers['set-cookie'] ?? []
    assert.match(cookie, /^porthole_port=.*; HttpOnly/)
    assert.match(cookie, /SameSite=Lax/)
    assert.doesNotMatch(cookie, /Domain/i)
    return cookie.split(';', 1)[0] ?? ''
  }
  const socketTo = async (url: string, headers: Record<string, string>) => {
    const socket = new WebSocket(url, { headers })
    const failed = once(socket, 'unexpected-response').then(([, answer]) => {
      socket.on('error', () => undefined)
      socket.terminate()
      return (answer as http.IncomingMessage).statusCode
    })
    const opened = once(socket, 'open').then(() => socket)
    return Promise.race([opened, failed])
  }
  const echo = async (socket: WebSocket | number | undefined) => {
    assert(socket instanceof WebSocket, `the upgrade was answered with ${socket}`)
    socket.send('hello')
    const [data] = await once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
    socket.terminate()
    assert.equal(String(data), 'hello')
  }

  describe('on the origin of the gateway', () => {
    const path = (name: string, rest: string) => `/port/${site.ownerHash}/${name}${rest}`

    it('a program with a token reaches each by its name, and the container sees its own paths', async () => {
      const { method, url, body, port, headers } = told(
        await ask(path('app', '/a/b?c=d'), authorization(stack), { method: 'PUT', body: 'the body' }),
      )
      assert.deepEqual([method, url, body, port], ['PUT', '/a/b?c=d', 'the body', 3000])
      for (const name of ['authorization', 'cookie']) assert.equal(headers[name], undefined)
      assert.equal(told(await ask(path('api', '/x'), authorization(stack))).port, 3001)
    })

    it('what it answers is sandboxed and sets no cookies', async () => {
      const { status, headers } = await ask(path('app', '/'), authorization(stack))
      assert.equal(status, 200)
      assert.match(String(headers['content-security-policy']), /^sandbox;/)
      assert.equal(headers['set-cookie'], undefined)
    })

    it('redirects stay within the port, whatever host the container takes itself for', async () => {
      const here = `/port/${site.ownerHash}/app`
      for (const [to, wanted] of [
        ['/next?x=1', `${here}/next?x=1`],
        ['http://INNER/next', `${here}/next`],
        ['http://PUBLIC/next', `${here}/next`],
        ['http://elsewhere.example/next', 'http://elsewhere.example/next'],
      ] as const) {
        const answer = await ask(path('app', `/redirect?to=${encodeURIComponent(to)}`), authorization(stack))
        assert.deepEqual([answer.status, answer.headers.location], [302, wanted], to)
      }
      const bare = await ask(path('app', ''), authorization(stack))
      assert.deepEqual([bare.status, bare.headers.location], [308, `${here}/`])
    })

    it('WebSockets open', async () => {
      await echo(
        await socketTo(`${stack.gatewayUrl.replace('http', 'ws')}${path('app', '/echo')}`, authorization(stack)),
      )
    })

    it('a name that the spec does not have is not found, nor are the doors by this way', async () => {
      for (const name of ['web', 'view', 'cdp', 'rpc', 'App', '']) {
        const { status } = await ask(path(name, '/'), authorization(stack))
        assert(status === 404 || (name === '' && status === 400), `${name}: ${status}`)
      }
      assert.equal((await ask(path('app', '/'))).status, 401)
    })
  })

  describe('on a host of its own', () => {
    let person: BrowserContext
    let launch: ReturnType<typeof chromiumLaunch>
    before(async () => {
      launch = chromiumLaunch()
      const { executablePath, args } = launch
      person = await chromium.launchPersistentContext(launch.userDataDir, { executablePath, args, headless: true })
    })
    after(async () => {
      await person?.close()
      launch?.remove()
    })

    it('is where the runtime says its ports are', () => {
      assert.deepEqual(site.urls.ports, {
        app: `http://${hostOf('app')}/`,
        api: `http://${hostOf('api')}/`,
      })
    })

    it('a link opens the application, which works as on a site of its own', async () => {
      const page = await person.newPage()
      await visit(page, await link('app'))
      assert.equal(page.url(), site.urls.ports.app)
      await page.waitForFunction(() => document.title === 'hello over a socket')
      const colour = await page.locator('h1').evaluate(heading => getComputedStyle(heading).color)
      assert.equal(colour, 'rgb(1, 2, 3)')
      assert.equal(await page.evaluate(() => localStorage.getItem('kept')), 'here')
      const seen = await page.evaluate(async () => (await fetch('/sub/what', { method: 'POST', body: 'b' })).json())
      assert.deepEqual((seen.headers.cookie as string).split('; ').toSorted(), ['fromScript=1', 'plain=1', 'wide=2'])
      // Origin and Host name the same place, as programs check that want to know their own pages.
      assert.equal(new URL(seen.headers.origin).host, seen.headers.host)
      assert.equal(seen.headers['x-forwarded-host'], hostOf('app'))
      // Nor has another port of it: Domain is taken off.
      const cookies = await person.cookies(site.urls.ports.api)
      assert.deepEqual(cookies, [])
      await page.close()
    })

    it('a link works once, and says so', async () => {
      const url = await link('api')
      const page = await person.newPage()
      assert.equal((await visit(page, url))?.status(), 200)
      await person.clearCookies()
      assert.equal((await visit(page, url))?.status(), 401)
      assert.match((await page.locator('body').textContent()) ?? '', /This link has been used/)
      assert.equal((await visit(page, site.urls.ports.api ?? ''))?.status(), 401)
      assert.match((await page.locator('body').textContent()) ?? '', /A link is needed/)
      await page.close()
    })

    it('the cookie of one port opens no other, and a ticket opens what it was made for', async () => {
      const cookie = await cookieOf('app')
      assert.equal((await ask('/x', { host: hostOf('app'), cookie })).status, 200)
      assert.equal((await ask('/x', { host: hostOf('api'), cookie })).status, 401)
      const { pathname, search } = new URL(await link('app'))
      assert.equal((await ask(pathname + search, { host: hostOf('api') })).status, 401)
      const ticket = new URLSearchParams(search).get('ticket')
      // Decoded, some of these are what the ticket and the name of its port may once have been kept under.
      for (const more of ['', '%20app', '+app', '%1Fapp', '%00', '%20', '&ticket=app'])
        assert.equal((await ask(`/view/${site.ownerHash}/vnc.html?ticket=${ticket}${more}`)).status, 401, more)
      for (const less of [`app%20${ticket}`, `app+${ticket}`, `port%20app%20${ticket}`])
        assert.equal((await ask(`/view/${site.ownerHash}/vnc.html?ticket=${less}`)).status, 401, less)
      assert.equal((await ask(pathname + search, { host: hostOf('app') })).status, 302)
    })

    it('the container gets no credential of ours, and its own sign-in', async () => {
      const cookie = await cookieOf('app')
      const headers = { host: hostOf('app'), cookie: `theirs=1; ${cookie}; more=2`, authorization: 'Basic dGhlaXJz' }
      const seen = told(await ask('/x', headers)).headers
      assert.deepEqual([seen.cookie, seen.authorization], ['theirs=1; more=2', 'Basic dGhlaXJz'])
      const byToken = told(await ask('/x', { host: hostOf('app'), ...authorization(stack) })).headers
      assert.deepEqual([byToken.cookie, byToken.authorization], [undefined, undefined])
    })

    it('pages of others use nobody’s cookie', async () => {
      const cookie = await cookieOf('app')
      const others = ['http://evil.example', `http://app-${'0'.repeat(16)}.${domain}:${gatewayPort()}`, 'null']
      for (const origin of others) {
        const { status } = await ask('/x', { host: hostOf('app'), cookie, origin }, { method: 'POST' })
        assert.equal(status, 403, origin)
        assert.equal(
          await socketTo(`${stack.gatewayUrl.replace('http', 'ws')}/echo`, { host: hostOf('app'), cookie, origin }),
          403,
        )
      }
      const embedded = { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' }
      assert.equal((await ask('/x', { host: hostOf('app'), cookie, ...embedded })).status, 403)
      const followed = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
      assert.equal((await ask('/x', { host: hostOf('app'), cookie, ...followed })).status, 200)
    })

    it('nothing of the gateway is there, and a name that is no port is nobody', async () => {
      const cookie = await cookieOf('app')
      for (const path of ['/v1/runtimes', '/healthz', '/console/'])
        assert.equal(told(await ask(path, { host: hostOf('app'), cookie })).url, path)
      for (const host of [
        `app.${domain}`,
        `app-${site.ownerHash}.${domain}`,
        `x.app-${site.ownerHash}.${domain}:${gatewayPort()}`,
      ])
        assert.equal((await ask('/healthz', { host })).status, 404, host)
      assert.equal((await ask('/healthz', { host: `127.0.0.1:${gatewayPort()}` })).status, 200)
    })

    it('redirects to itself keep the scheme that people see', async () => {
      const cookie = await cookieOf('app')
      for (const [to, wanted] of [
        ['/next', '/next'],
        ['https://PUBLIC/next?x=1#y', '/next?x=1#y'],
        ['http://INNER/next', '/next'],
        ['https://elsewhere.example/', 'https://elsewhere.example/'],
      ] as const) {
        const answer = await ask(`/redirect?to=${encodeURIComponent(to)}`, { host: hostOf('app'), cookie })
        assert.equal(answer.headers.location, wanted)
      }
    })
  })

  it('traffic wakes a runtime that was stopped or paused, and is held until it is there', async () => {
    const verb = async (name: string) =>
      assert.equal((await stack.call('POST', `/v1/runtimes/${site.id}/${name}`)).status, 200)
    await verb('stop')
    assert.equal(told(await ask(`/port/${site.ownerHash}/app/x`, authorization(stack))).url, '/x')
    await verb('pause')
    await echo(
      await socketTo(`${stack.gatewayUrl.replace('http', 'ws')}/port/${site.ownerHash}/app/echo`, authorization(stack)),
    )
    const cookie = await cookieOf('app')
    await verb('stop')
    assert.equal(told(await ask('/x', { host: hostOf('app'), cookie })).url, '/x')
  })
})
