import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { chromiumLaunch } from '../kit/chromium.ts'
import { eventually } from '../kit/eventually.ts'
import { authorization, ensure, pageOf, type Runtime } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'
import { visit } from '../kit/visit.ts'

const green = [0, 160, 80] as const
const coloured = (title: string, [r, g, b]: readonly number[]) =>
  pageOf(
    `<title>${title}</title><body style="margin:0;background:rgb(${r},${g},${b})"><input id="box" autofocus style="position:fixed;left:10vw;top:10vh;width:60vw;font-size:40px">`,
  )

describe('watching a runtime', { concurrency: false }, () => {
  let stack: TestStack
  let alice: Runtime
  let driver: Awaited<ReturnType<typeof chromium.connectOverCDP>>
  let driven: Page
  let person: BrowserContext
  let launch: ReturnType<typeof chromiumLaunch>

  before(async () => {
    stack = await startStack()
    alice = await ensure(stack, { userId: 'alice' })
    driver = await chromium.connectOverCDP(alice.urls.cdp, { headers: authorization(stack) })
    const [context] = driver.contexts()
    const page = context?.pages()[0] ?? (await context?.newPage())
    assert(page)
    driven = page
    await driven.bringToFront()
    launch = chromiumLaunch()
    person = await chromium.launchPersistentContext(launch.userDataDir, {
      executablePath: launch.executablePath,
      args: launch.args,
      headless: true,
      viewport: { width: 1280, height: 800 },
    })
  })
  after(async () => {
    await driver?.close()
    await person?.close()
    launch?.remove()
    await stack?.close()
  })

  const link = async (body: object = {}) => {
    const answer = await stack.call('POST', `/v1/runtimes/${alice.id}/tickets`, body)
    assert.equal(answer.status, 201)
    return ((await answer.json()) as { url: string }).url
  }

  /** The colour that most of the view's canvas has. */
  const mainColour = (page: Page) =>
    page.locator('#noVNC_container canvas').evaluate(element => {
      const canvas = element as HTMLCanvasElement
      const { data } = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: [] }
      const counts = new Map<string, number>()
      for (let at = 0; at < data.length; at += 4 * 97) {
        const colour = `${data[at]},${data[at + 1]},${data[at + 2]}`
        counts.set(colour, (counts.get(colour) ?? 0) + 1)
      }
      return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0]
    })

  const isNear = (seen: string | undefined, wanted: readonly number[]) => {
    const distance = (seen ?? '').split(',').map((value, n) => Math.abs(Number(value) - (wanted[n] ?? 0)))
    // The picture comes as JPEG.
    assert(distance.length === 3 && distance.every(d => d <= 12), `the view shows ${seen}, not ${wanted}`)
  }

  const open = async (url: string) => {
    const page = await person.newPage()
    await visit(page, url)
    await page.locator('html.noVNC_connected').waitFor({ timeout: 20_000 })
    return page
  }

  it('a ticket opens the live view, whose pixels are what Playwright drew', async () => {
    await driven.goto(coloured('green', green))
    const page = await open(await link())
    assert(!page.url().includes('ticket'), page.url())
    await eventually(async () => isNear(await mainColour(page), green), 15_000, 100)
    await driven.goto(coloured('violet', [120, 40, 200]))
    await eventually(async () => isNear(await mainColour(page), [120, 40, 200]), 15_000, 100)
    await page.close()
  })

  it('typing in the view reaches the page', async () => {
    await driven.goto(coloured('typing', green))
    const page = await open(await link())
    await eventually(async () => isNear(await mainColour(page), green), 15_000, 100)
    const canvas = page.locator('#noVNC_container canvas')
    const box = await driven.evaluate(() => {
      const { x, y, width, height } = (document.querySelector('#box') as HTMLElement).getBoundingClientRect()
      const chrome = { x: window.screenX, y: window.screenY + window.outerHeight - window.innerHeight }
      return {
        x: chrome.x + x + width / 2,
        y: chrome.y + y + height / 2,
        width: window.screen.width,
        height: window.screen.height,
      }
    })
    const shown = await canvas.boundingBox()
    assert(shown)
    await page.mouse.click(shown.x + (box.x / box.width) * shown.width, shown.y + (box.y / box.height) * shown.height)
    await page.keyboard.type('Hello porthole 42', { delay: 20 })
    await eventually(
      async () => assert.equal(await driven.locator('#box').inputValue(), 'Hello porthole 42'),
      10_000,
      100,
    )
    await page.close()
  })

  it('a view ticket shows the same, and typing does nothing', async () => {
    await driven.goto(coloured('watching', green))
    const page = await open(await link({ access: 'view' }))
    await eventually(async () => isNear(await mainColour(page), green), 15_000, 100)
    await driven.locator('#box').focus()
    await page.locator('#noVNC_container canvas').click({ position: { x: 300, y: 200 } })
    await page.keyboard.type('nobody reads this')
    // What is typed by the driver afterwards arrives: had the view's keys come through, they would stand before it.
    await driven.locator('#box').pressSequentially('driver')
    assert.equal(await driven.locator('#box').inputValue(), 'driver')
    await page.close()
  })

  it('a link with a token in its fragment opens the view, again and again, and the token leaves the address', async () => {
    const url = `${alice.urls.view}#token=${stack.tenantToken}`
    await person.clearCookies()
    for (const _ of ['now', 'later']) {
      const page = await open(url)
      assert(!page.url().includes(stack.tenantToken))
      await page.close()
    }
  })

  it('a shared runtime is watched at the address it had in the original, after signing in with a token', async () => {
    const shared = await ensure(stack, { mode: 'shared' })
    const page = await open(`${shared.urls.view}#token=${stack.tenantToken}`)
    assert(page.url().includes(`/view/${shared.ownerHash}/`), page.url())
    await page.close()
  })

  it('a browser that was stopped is not woken by a view that is still open', async () => {
    const runtime = await ensure(stack, { userId: 'sleepy' })
    const answer = await stack.call('POST', `/v1/runtimes/${runtime.id}/tickets`, {})
    const page = await open(((await answer.json()) as { url: string }).url)
    const stopped = await stack.call('POST', `/v1/runtimes/${runtime.id}/stop`)
    assert.equal(stopped.status, 200)
    await page.getByText('This browser was stopped').waitFor({ timeout: 15_000 })
    const now = (await (await stack.call('GET', `/v1/runtimes/${runtime.id}`)).json()) as Runtime
    assert.deepEqual([now.state, now.generation], ['stopped', 1])
    await page.close()
  })

  it('a used ticket shows a person a page that says so', async () => {
    const url = await link()
    await (await open(url)).close()
    await person.clearCookies()
    const page = await person.newPage()
    const answer = await visit(page, url)
    assert.equal(answer?.status(), 401)
    assert.match((await page.locator('body').textContent()) ?? '', /link/i)
    await page.close()
  })
})
