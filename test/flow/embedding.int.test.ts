import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type BrowserContext, chromium, type Frame, type Page } from 'playwright-core'
import { freePort } from '../../infra/dev/ports.ts'
import { assertNear, mainColour } from '../kit/canvas.ts'
import { chromiumLaunch } from '../kit/chromium.ts'
import { eventually } from '../kit/eventually.ts'
import { createRecorder, type Recorder, type Site } from '../kit/recorder.ts'
import { authorization, ensure, pageOf, type Runtime } from '../kit/runtime.ts'
import { type Listening, serveSite, serveSites } from '../kit/sites.ts'
import { startStack, type TestStack } from '../kit/stack.ts'
import { visit } from '../kit/visit.ts'

const green = [0, 160, 80] as const
const violet = [120, 40, 200] as const
const coloured = ([r, g, b]: readonly number[]) =>
  pageOf(
    `<body style="margin:0;background:rgb(${r},${g},${b})"><input id="box" style="position:fixed;inset:0;margin:auto;width:60vw;height:30vh">`,
  )

/** Of another site than the gateway, which is at browsers.example. */
const tenantPage = 'https://app.example/desk?secret=hush-hush'
const isTicket = (url: string) => url.includes('ticket=')

/** A page with one frame, whose address the test says. It tells its own address to whom it can. */
const createFramer = () => {
  const framer = { src: 'about:blank' }
  const site: Site = {
    request: (_req, res) =>
      res
        .writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'referrer-policy': 'unsafe-url' })
        .end(
          `<body style="margin:0"><iframe src="${framer.src.replaceAll('&', '&amp;')}" style="width:100vw;height:90vh;border:0"></iframe>`,
        ),
  }
  return { framer, site }
}

/** Gives everybody a cookie of the plain kind for frames, and shows which one it got. */
const plainCookies: Site = {
  request: (req, res) =>
    res
      .writeHead(200, { 'content-type': 'text/plain', 'set-cookie': 'plain=1; Path=/; Secure; SameSite=None' })
      .end(`cookies: ${req.headers.cookie ?? 'none'}`),
}

describe("a live view in a frame on a tenant's page", { concurrency: false }, () => {
  const { framer, site: framing } = createFramer()
  let gatewayPort = 0
  let agentPort = 0
  const gateway: Recorder = createRecorder({ hostname: '127.0.0.1', port: () => gatewayPort })
  /** Stands before the agent: containers see less than this, never more. */
  const agent: Recorder = createRecorder({ hostname: '127.0.0.1', port: () => agentPort })
  const closing: (() => Promise<unknown>)[] = []
  let sites: Awaited<ReturnType<typeof serveSites>>
  let agentDoor: Listening
  let stack: TestStack
  let alice: Runtime
  let driven: Page

  before(async () => {
    agentPort = await freePort()
    agentDoor = await serveSite(agent)
    closing.push(agentDoor.close)
    sites = await serveSites({
      'app.example': framing,
      'other.example': framing,
      'plain.example': plainCookies,
      'browsers.example': gateway,
    })
    closing.push(sites.close)
    stack = await startStack({
      gatewaySettings: { PUBLIC_URL: 'https://browsers.example' },
      agentSettings: { PORT: String(agentPort), PORTHOLE_AGENT_URL: `http://127.0.0.1:${agentDoor.port}` },
    })
    closing.push(stack.close)
    gatewayPort = Number(new URL(stack.gatewayUrl).port)
    const allowed = await operate('PATCH', '/v1/tenants/default', { frameAncestors: ['https://app.example'] })
    assert.equal(allowed.status, 200)
    alice = await ensure(stack, { userId: 'alice' })
    const driver = await chromium.connectOverCDP(`ws://127.0.0.1:${gatewayPort}/cdp/${alice.ownerHash}`, {
      headers: authorization(stack),
    })
    closing.push(() => driver.close())
    const [context] = driver.contexts()
    const page = context?.pages()[0] ?? (await context?.newPage())
    assert(page)
    driven = page
    await driven.bringToFront()
  })
  after(async () => {
    for (const close of closing.toReversed()) await close()
  })

  const operate = (method: string, path: string, body: object) => stack.call(method, path, body, stack.adminToken)

  const link = async ({ id, access }: { id: string; access?: string }, token?: string) => {
    const answer = await stack.call('POST', `/v1/runtimes/${id}/tickets`, { access: access ?? 'control' }, token)
    assert.equal(answer.status, 201)
    return ((await answer.json()) as { url: string }).url
  }

  /** A person's Chromium, with an empty profile. */
  const startPerson = async (cookies: 'allowed' | 'blocked') => {
    const launch = chromiumLaunch()
    // What a person chooses in the settings. It is said in both cases: the default differs between builds of Chromium.
    const mode = { allowed: 0, blocked: 1 }[cookies]
    const preferences = { profile: { cookie_controls_mode: mode, block_third_party_cookies: mode === 1 } }
    mkdirSync(join(launch.userDataDir, 'Default'))
    writeFileSync(join(launch.userDataDir, 'Default/Preferences'), JSON.stringify(preferences))
    const person = await chromium.launchPersistentContext(launch.userDataDir, {
      executablePath: launch.executablePath,
      args: [...launch.args, ...sites.chromiumArgs],
      headless: true,
      viewport: { width: 1280, height: 800 },
    })
    return { person, close: () => person.close().finally(launch.remove) }
  }

  /** A tenant's page around that address, and its frame. */
  const frame = async (person: BrowserContext, src: string, around = tenantPage) => {
    framer.src = src
    const page = await person.newPage()
    await visit(page, around)
    const framed = page.frames()[1]
    assert(framed, 'the page has no frame')
    return { page, framed }
  }
  const connected = async (framed: Frame) => {
    try {
      await framed.locator('html.noVNC_connected').waitFor({ timeout: 40_000 })
    } catch (cause) {
      const shown = await framed.locator('#status').textContent({ timeout: 2000 })
      const asked = gateway.seen.slice(-20).map(({ method, target }) => `${method} ${target.split('?')[0]}`)
      throw new Error(`the view at ${framed.url()} shows "${shown}"; asked last: ${asked.join(', ')}`, { cause })
    }
  }
  const shows = (framed: Frame, colour: readonly number[]) =>
    eventually(async () => assertNear(await mainColour(framed), colour), 15_000, 100)

  for (const cookies of ['allowed', 'blocked'] as const)
    describe(`with third-party cookies ${cookies}`, () => {
      let person: BrowserContext
      let close: () => Promise<void>
      before(async () => {
        ;({ person, close } = await startPerson(cookies))
      })
      after(() => close?.())

      it('this Chromium does so with a cookie of the plain kind', async () => {
        const { page } = await frame(person, 'https://plain.example/')
        await page.reload()
        const again = page.frames()[1]
        assert(again)
        assert.equal(
          await again.locator('body').textContent(),
          `cookies: ${cookies === 'allowed' ? 'plain=1' : 'none'}`,
        )
        await page.close()
      })

      it('shows what Playwright drew, also when the frame is loaded again', async () => {
        await driven.goto(coloured(green))
        const { page, framed } = await frame(person, await link(alice))
        await connected(framed)
        await shows(framed, green)
        assert(!isTicket(framed.url()), framed.url())
        const [answer] = await Promise.all([
          page.waitForResponse(answer => answer.url().includes('/vnc.html')),
          framed.evaluate(() => location.reload()),
        ])
        assert.equal(answer.status(), 200)
        await driven.goto(coloured(violet))
        await connected(framed)
        await shows(framed, violet)
        await page.close()
      })

      it('takes typing to the page', async () => {
        await driven.goto(coloured(green))
        const { page, framed } = await frame(person, await link(alice))
        await connected(framed)
        await shows(framed, green)
        const shown = await framed.locator('#noVNC_container canvas').boundingBox()
        assert(shown)
        await page.mouse.click(shown.x + shown.width / 2, shown.y + shown.height / 2)
        await eventually(async () => assert.equal(await driven.evaluate(() => document.activeElement?.id), 'box'))
        await page.keyboard.type('Hello from a frame', { delay: 20 })
        await eventually(async () => assert.equal(await driven.locator('#box').inputValue(), 'Hello from a frame'))
        await page.close()
      })

      it('is there again when the page around it is loaded again, with the ticket that was used', async () => {
        await driven.goto(coloured(violet))
        const { page, framed } = await frame(person, await link(alice))
        await connected(framed)
        await page.reload()
        const again = page.frames()[1]
        assert(again)
        await connected(again)
        await shows(again, violet)
        await page.close()
      })
    })

  describe('keeps to itself', () => {
    let person: BrowserContext
    let close: () => Promise<void>
    before(async () => {
      ;({ person, close } = await startPerson('allowed'))
    })
    after(() => close?.())
    it('the page of an origin that is not allowed shows nothing', async () => {
      await refusedFrame(await link(alice), 'https://other.example/')
      // With a cookie of their own there: it was the view itself that was refused.
      assert.match(gateway.seen.at(-1)?.headers.cookie ?? '', /^porthole_view=/)
    })

    it('a tenant that names no origins is in no frame, and its links still open in a tab', async () => {
      const slug = 'unframed'
      const made = await operate('POST', '/v1/tenants', { slug, mode: 'docker-per-principal' })
      assert.equal(made.status, 201)
      const minted = await operate('POST', '/v1/tokens', {
        tenant: slug,
        scopes: ['runtimes:read', 'runtimes:write', 'runtimes:connect'],
      })
      const { token } = (await minted.json()) as { token: string }
      const answer = await stack.call('POST', '/v1/runtimes', { userId: 'uma', wait: 120 }, token)
      assert.equal(answer.status, 201)
      const theirs = (await answer.json()) as Runtime
      await refusedFrame(await link(theirs, token), tenantPage)
      const tab = await person.newPage()
      await visit(tab, await link(theirs, token))
      await connected(tab.mainFrame())
      // Nor with a cookie that the person has from a tab.
      await refusedFrame(tab.url(), tenantPage)
      await tab.close()
    })

    /** Expects a frame of this address to be refused by the policy, and nothing of the view to be loaded. */
    const refusedFrame = async (src: string, around: string) => {
      framer.src = src
      const from = gateway.seen.length
      const page = await person.newPage()
      const refusals: string[] = []
      const failures: string[] = []
      page.on('requestfailed', request => failures.push(request.failure()?.errorText ?? ''))
      page.on('console', message => {
        if (message.text().includes('frame-ancestors')) refusals.push(message.text())
      })
      await page.goto(around)
      await eventually(async () => {
        // Containers that come and go change the network of this machine: Chromium then gives up what it has begun.
        if (failures.some(failure => /NETWORK_CHANGED/.test(failure))) {
          failures.length = 0
          await page.reload()
        }
        assert.match(page.frames()[1]?.url() ?? '', /^chrome-error:/)
        assert.deepEqual(failures, ['net::ERR_BLOCKED_BY_RESPONSE'])
      }, 30_000)
      // What Chromium says of it comes from the frame's own process, and is lost when that is late to be listened to.
      for (const refusal of refusals) assert.match(refusal, /browsers\.example/)
      const asked = gateway.seen.slice(from).map(({ target }) => target)
      assert(asked.length > 0 && asked.every(target => target.includes('/vnc.html')), asked.join(' '))
      await page.close()
    }

    it('a link to a view that may be framed opens in a tab, too', async () => {
      const tab = await person.newPage()
      await visit(tab, await link(alice))
      await connected(tab.mainFrame())
      await tab.close()
    })

    it("the cookie goes to its own runtime's view and nowhere else", async () => {
      const bob = (await (await stack.call('POST', '/v1/runtimes', { userId: 'bob', wait: 0 })).json()) as Runtime
      const { page, framed } = await frame(person, await link(alice))
      await connected(framed)
      const own = `/view/${alice.ownerHash}/vnc.html`
      const others = [
        `/view/${bob.ownerHash}/vnc.html`,
        `/view/${alice.ownerHash}0/vnc.html`,
        `/cdp/${alice.ownerHash}/json/version`,
        `/rpc/${alice.ownerHash}/run`,
        '/v1/runtimes',
        '/',
      ]
      const from = gateway.seen.length
      const statuses = await framed.evaluate(
        paths =>
          Promise.all(
            paths.map(async path => (await fetch(path, { credentials: 'include', redirect: 'manual' })).status),
          ),
        [own, ...others],
      )
      const cookies = new Map(gateway.seen.slice(from).map(({ target, headers }) => [target, headers.cookie]))
      assert.match(cookies.get(own) ?? '', /^porthole_view=/)
      for (const path of others) {
        assert(cookies.has(path), `${path} was not asked for`)
        assert.equal(cookies.get(path), undefined, path)
      }
      assert.equal(statuses[0], 200)
      assert(!statuses.slice(1).includes(200), statuses.join(' '))
      await page.close()
    })

    it("a tenant's page opens no socket with its visitor's cookie", async () => {
      const { page, framed } = await frame(person, await link(alice))
      await connected(framed)
      const from = gateway.seen.length
      const outcome = await page.evaluate(
        url =>
          new Promise<string>(resolve => {
            const socket = new WebSocket(url)
            socket.onopen = () => resolve('open')
            socket.onerror = () => resolve('refused')
          }),
        `wss://browsers.example/view/${alice.ownerHash}/websockify`,
      )
      assert.equal(outcome, 'refused')
      const asked = gateway.seen.slice(from).find(({ headers }) => headers.origin === 'https://app.example')
      // Chromium does send it: the gateway is who refuses.
      assert.match(asked?.headers.cookie ?? '', /^porthole_view=/)
      await page.close()
    })

    it("neither the ticket nor the address of the tenant's page travels on", async () => {
      const [toGateway, toAgent] = [gateway.seen.length, agent.seen.length]
      const url = await link(alice)
      const { page, framed } = await frame(person, url)
      await connected(framed)
      await framed.evaluate(() => location.reload())
      await connected(framed)
      const ticket = new URL(url).searchParams.get('ticket') ?? ''
      assert(ticket)
      const [first, ...later] = gateway.seen.slice(toGateway)
      // What tells the address at all: the tenant's page itself, to the gateway, because it wants to.
      assert.equal(first?.headers.referer, tenantPage)
      assert(later.some(({ target }) => target.endsWith('/websockify')))
      for (const { target, headers } of later) {
        assert.equal(headers.referer, undefined, target)
        assert(!target.includes(ticket), target)
      }
      const passedOn = agent.seen.slice(toAgent)
      assert(passedOn.some(({ target }) => target.endsWith('/websockify')))
      for (const { target, headers } of passedOn) {
        const text = JSON.stringify([target, headers])
        for (const secret of [ticket, 'hush-hush', 'app.example', 'porthole_view'])
          assert(!text.includes(secret), `the host is told ${secret}`)
      }
      await page.close()
    })

    it('a view whose cookie is gone points to the page around it, not to one that no frame shows', async () => {
      const { page, framed } = await frame(person, await link(alice))
      await connected(framed)
      await person.clearCookies()
      assert.equal((await stack.call('POST', `/v1/runtimes/${alice.id}/stop`)).status, 200)
      await framed.getByText('Your link has expired').waitFor({ timeout: 15_000 })
      assert.match((await framed.locator('#status').textContent()) ?? '', /Load the page around this one again/)
      assert(await framed.locator('#status-action').isHidden())
      await page.close()
    })
  })
})
