import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { deflateSync } from 'node:zlib'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { colorAt, connectRfb } from '../../infra/runtime/testing/rfb-client.ts'
import { assertNear, mainColour } from '../kit/canvas.ts'
import { chromiumLaunch } from '../kit/chromium.ts'
import { eventually } from '../kit/eventually.ts'
import { type Front, startFront } from '../kit/front.ts'
import { authorization, ensure, pageOf, type Runtime } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'
import { visit } from '../kit/visit.ts'

const prefix = '/tools/browsers'
const green = [0, 160, 80] as const
const violet = [120, 40, 200] as const
/** A page that is all one field to type into. */
const sheet = ([r, g, b]: readonly number[] = green) =>
  pageOf(
    `<body style="margin:0"><textarea id="box" spellcheck="false" style="box-sizing:border-box;width:100vw;height:100vh;border:0;outline:0;resize:none;background:rgb(${r},${g},${b})"></textarea>`,
  )

/** A server's clipboard, as a message of its own: `provide` of the same encoding. */
const clipboardMessage = (text: string) => {
  const bytes = Buffer.from(`${text}\0`)
  const size = Buffer.alloc(4)
  size.writeUInt32BE(bytes.length)
  const packed = deflateSync(Buffer.concat([size, bytes]))
  const head = Buffer.alloc(12)
  head[0] = 3
  head.writeInt32BE(-(4 + packed.length), 4)
  head.writeUInt32BE(0x10000001, 8)
  return Buffer.concat([head, packed])
}

/** In the page: whenever it offers its clipboard (`notify` of the encoding), that message arrives. */
const crossingClipboard = `function crossClipboards(message) {
  const send = WebSocket.prototype.send
  WebSocket.prototype.send = function (data) {
    send.call(this, data)
    const offer = data.byteLength === 12 && data[0] === 6 && data[4] === 0xff && data[8] === 0x08
    if (offer) this.dispatchEvent(new MessageEvent('message', { data: new Uint8Array(message).buffer }))
  }
}`

/** One press as a keyboard reports it: what is printed on the key, and where it is. */
type Press = { key: string; code: string; held?: { key: string; code: string } }

describe('a person at work in a view, behind a proxy that has the gateway below a path', { concurrency: false }, () => {
  let front: Front
  let stack: TestStack
  let alice: Runtime
  let driver: Browser
  let driven: Page
  let browser: Browser
  let person: BrowserContext
  let onlooker: BrowserContext
  let gatewayPort = 0
  const launch = chromiumLaunch()

  before(async () => {
    front = await startFront(prefix, () => gatewayPort)
    stack = await startStack({ gatewaySettings: { PUBLIC_URL: front.url } })
    gatewayPort = Number(new URL(stack.gatewayUrl).port)
    alice = await ensure(stack, { userId: 'alice' })
    ;({ driver, driven } = await drive(alice))
    const { executablePath, args } = launch
    browser = await chromium.launch({ executablePath, args: [...args, ...front.chromiumArgs], headless: true })
    onlooker = await browser.newContext({ viewport: { width: 1280, height: 800 } })
    person = await browser.newContext({ viewport: { width: 1280, height: 800 } })
    await person.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: new URL(front.url).origin })
  })
  after(async () => {
    await browser?.close()
    await driver?.close()
    launch.remove()
    await stack?.close()
    await front?.close()
  })

  const drive = async ({ ownerHash }: Runtime) => {
    const driver = await chromium.connectOverCDP(`ws://127.0.0.1:${gatewayPort}/cdp/${ownerHash}`, {
      headers: authorization(stack),
    })
    const [context] = driver.contexts()
    const page = context?.pages()[0] ?? (await context?.newPage())
    assert(page)
    await page.bringToFront()
    return { driver, driven: page }
  }
  const link = async (body: object) => {
    const answer = await stack.call('POST', `/v1/runtimes/${alice.id}/tickets`, body)
    assert.equal(answer.status, 201)
    return ((await answer.json()) as { url: string }).url
  }
  const connected = (page: Page) => page.locator('html.noVNC_connected').waitFor({ timeout: 30_000 })
  const open = async (
    options = '',
    { context = person, body = {}, page: given }: { context?: BrowserContext; body?: object; page?: Page } = {},
  ) => {
    const page = given ?? (await context.newPage())
    await visit(page, `${await link(body)}${options}`)
    await connected(page)
    return page
  }
  const shows = (page: Page, colour: readonly number[]) =>
    eventually(async () => assertNear(await mainColour(page), colour), 15_000, 100)
  const canvas = (page: Page) => page.locator('#noVNC_container canvas')
  const written = () => driven.locator('#box').inputValue({ timeout: 8000 })
  /** A fresh sheet in the runtime, and a view of it whose keyboard is on it. */
  const begin = async (options = '') => {
    await driven.goto(sheet())
    await driven.locator('#box').focus()
    const page = await open(options)
    await shows(page, green)
    await driven.evaluate(() => {
      const pressed = () => document.body.setAttribute('data-pressed', 'yes')
      document.querySelector('#box')?.addEventListener('mousedown', pressed)
    })
    await canvas(page).click({ position: { x: 640, y: 400 } })
    // With the button the window manager has given the window its keyboard.
    await driven.locator('body[data-pressed]').waitFor({ state: 'attached' })
    return page
  }
  const press = async (page: Page, presses: readonly Press[]) => {
    const keyboard = await page.context().newCDPSession(page)
    const send = (type: 'keyDown' | 'keyUp', { key, code }: { key: string; code: string }) =>
      keyboard.send('Input.dispatchKeyEvent', {
        type,
        key,
        code,
        ...(key.length === 1 && type === 'keyDown' ? { text: key } : {}),
      })
    for (const { held, ...one } of presses) {
      if (held) await send('keyDown', held)
      await send('keyDown', one)
      await send('keyUp', one)
      if (held) await send('keyUp', held)
    }
    await keyboard.detach()
  }

  const altGraph = { key: 'AltGraph', code: 'AltRight' }
  const shift = { key: 'Shift', code: 'ShiftLeft' }
  const layouts: readonly [string, readonly Press[], string][] = [
    [
      'German',
      [
        { key: 'ü', code: 'BracketLeft' },
        { key: 'Ü', code: 'BracketLeft', held: shift },
        { key: 'ß', code: 'Minus' },
        { key: 'z', code: 'KeyY' },
        { key: '€', code: 'KeyE', held: altGraph },
        { key: '@', code: 'KeyQ', held: altGraph },
        { key: '{', code: 'Digit7', held: altGraph },
      ],
      'üÜßz€@{',
    ],
    [
      'French',
      [
        { key: 'a', code: 'KeyQ' },
        { key: 'é', code: 'Digit2' },
        { key: '2', code: 'Digit2', held: shift },
        { key: 'ç', code: 'Digit9' },
        { key: 'm', code: 'Semicolon' },
      ],
      'aé2çm',
    ],
    [
      'Russian',
      [
        { key: 'п', code: 'KeyG' },
        { key: 'р', code: 'KeyH' },
        { key: 'Щ', code: 'KeyO', held: shift },
        { key: 'ё', code: 'Backquote' },
        { key: '.', code: 'Slash' },
      ],
      'прЩё.',
    ],
    [
      'of many languages, fast',
      [...'äöÄÖàèêëîïôùûñøåæœąęłżčřšžůğıİőűþð£§°µ¿¡βγδλшъэй'].map(key => ({ key, code: 'KeyA' })),
      'äöÄÖàèêëîïôùûñøåæœąęłżčřšžůğıİőűþð£§°µ¿¡βγδλшъэй',
    ],
    [
      'with a key for an emoji',
      [
        { key: '😀', code: 'KeyE' },
        { key: 'a', code: 'KeyA' },
      ],
      '😀a',
    ],
  ]
  it('what is typed on any keyboard arrives as it is on the keys', async () => {
    const page = await begin()
    for (const [name, presses, text] of layouts) {
      await press(page, presses)
      await eventually(async () => assert.equal(await written(), text, name))
      await driven.locator('#box').fill('')
    }
    await page.close()
  })

  it('Ctrl+A and Ctrl+C bring what is selected to the clipboard here, Ctrl+V takes it there', async () => {
    const page = await begin()
    await driven.locator('#box').fill('Grüße, 世界 😀')
    await canvas(page).focus()
    await page.keyboard.press('Control+a')
    await page.keyboard.press('Control+c')
    await eventually(async () =>
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'Grüße, 世界 😀'),
    )
    await page.evaluate(() => navigator.clipboard.writeText('von hier: €uro 🎉'))
    await canvas(page).focus()
    await page.keyboard.press('Control+v')
    await eventually(async () => assert.equal(await written(), 'von hier: €uro 🎉'))
    await page.close()
  })

  it('what is pasted arrives although a clipboard from over there comes at the same time', async () => {
    const crossing = await person.newPage()
    const message = JSON.stringify([...clipboardMessage('from over there')])
    await crossing.addInitScript({ content: `${crossingClipboard}; crossClipboards(${message})` })
    await driven.goto(sheet())
    await driven.locator('#box').focus()
    const page = await open('', { page: crossing })
    await shows(page, green)
    await page.evaluate(() => navigator.clipboard.writeText('from here'))
    await canvas(page).focus()
    await page.keyboard.press('Control+v')
    await eventually(async () => assert.equal(await written(), 'from here'))
    assert.equal(await page.locator('#clipboard-text').inputValue(), 'from over there')
    await page.close()
  })

  it('a finger taps where it touches, and the keyboard on the screen types, corrects and deletes', async () => {
    await driven.goto(sheet())
    await driven.evaluate(() => {
      document.querySelector('#box')?.addEventListener('click', () => document.body.setAttribute('data-tapped', 'yes'))
    })
    const phone = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true })
    const page = await open('', { context: phone })
    await shows(page, green)
    const box = await canvas(page).boundingBox()
    assert(box)
    await page.touchscreen.tap(box.x + box.width / 2, box.y + box.height / 2)
    await eventually(async () => assert.equal(await driven.locator('body').getAttribute('data-tapped'), 'yes'))
    // It shows itself once, and leaves again.
    await eventually(async () => {
      if (!(await page.locator('#bar.open').count())) await page.locator('#handle').tap({ timeout: 1000 })
      await page.locator('#tool-keyboard').tap({ timeout: 1000 })
      assert.equal(await page.locator('#typed:focus').count(), 1)
    }, 20_000)
    const keyboard = await phone.newCDPSession(page)
    const type = (text: string) => keyboard.send('Input.insertText', { text })
    // As a phone does: a word at a time, and a correction that replaces it.
    await type('helo 😀')
    await page.locator('#typed').evaluate(field => {
      const area = field as HTMLTextAreaElement
      area.value = area.value.replace('helo 😀', 'hello 😁')
      area.dispatchEvent(new InputEvent('input'))
    })
    await type(' ü')
    await eventually(async () => assert.equal(await written(), 'hello 😁 ü'))
    await phone.close()
  })

  it('the remote screen takes the size of the window, when that is asked for', async () => {
    const page = await begin('#resize=remote')
    await page.setViewportSize({ width: 1000, height: 700 })
    const sizes = () =>
      driven.evaluate(() => [window.screen.width, window.screen.height, window.outerWidth, window.outerHeight])
    await eventually(async () => assert.deepEqual(await sizes(), [1000, 700, 1000, 700]))
    await page.setViewportSize({ width: 1280, height: 800 })
    await eventually(async () => assert.deepEqual(await sizes(), [1280, 800, 1280, 800]))
    await page.close()
  })

  it('twenty people watch one runtime at once', async () => {
    await driven.goto(sheet(green))
    const watch = () =>
      connectRfb(`ws://127.0.0.1:${gatewayPort}/view/${alice.ownerHash}/websockify`, authorization(stack))
    const watchers = await Promise.all(Array.from({ length: 20 }, watch))
    try {
      for (const colour of [violet, green]) {
        await driven.goto(sheet(colour))
        const centre = colour.join()
        const point = { x: 640, y: 500, width: 1, height: 1 }
        await Promise.all(
          watchers.map(watcher => watcher.captureUntil(shot => colorAt(shot, 0, 0).join() === centre, point)),
        )
      }
    } finally {
      for (const watcher of watchers) watcher.close()
    }
  })

  it('a link that is too slow for the picture gets one that it can carry, by itself', async () => {
    const noise = `<canvas id="c" width="1280" height="700"></canvas><script>
      const context = c.getContext('2d')
      const image = context.createImageData(c.width, c.height)
      setInterval(() => {
        const words = new Uint32Array(image.data.buffer)
        for (let n = 0; n < words.length; n += 1) words[n] = Math.random() * 2 ** 32 | 0xff000000
        context.putImageData(image, 0, 0)
      }, 200)</script>`
    await driven.goto(sheet())
    front.pace.bytesPerMs = 150
    try {
      const page = await open()
      assert.equal(await page.locator('html').getAttribute('data-quality'), '6')
      await driven.goto(pageOf(noise))
      await page.locator('html:is([data-quality="2"], [data-quality="0"])').waitFor({ timeout: 60_000 })
      await page.close()
    } finally {
      front.pace.bytesPerMs = undefined
      await driven.goto(sheet())
    }
  })

  /** Without a connection that a restart would end. */
  const paint = async (colour: readonly number[]) => {
    const answer = await stack.call('POST', `/rpc/${alice.ownerHash}/run`, {
      actions: [{ type: 'goto', url: sheet(colour) }],
    })
    assert.equal(answer.status, 200)
  }
  for (const part of ['gateway', 'agent'] as const)
    it(`after a restart of the ${part} the view is there again by itself, and keeps its picture meanwhile`, async () => {
      await paint(green)
      const page = await open()
      await shows(page, green)
      const noticed = page.getByText(/Reconnecting…|Waiting for the browser…/).waitFor({ timeout: 20_000 })
      const restarted = part === 'gateway' ? stack.restartGateway() : stack.restartAgent()
      await noticed
      assert.equal(await page.locator('#frozen canvas').count(), 1, 'the last picture is not there')
      await restarted
      const from = performance.now()
      await connected(page)
      assert(performance.now() - from < 10_000)
      assert(await page.locator('#status').isHidden())
      await paint(violet)
      await shows(page, violet)
      await page.close()
    })

  it('a view of a browser that ended by itself says so, and starts it again when asked', async () => {
    const [control, watching] = [await open(), await open('', { body: { access: 'view' }, context: onlooker })]
    await stack.docker.getContainer(`${stack.names.containerPrefix}${alice.ownerHash}`).kill()
    for (const page of [control, watching])
      await page.getByText('This browser is not running').waitFor({ timeout: 30_000 })
    assert(await watching.locator('#status-action').isHidden())
    await control.getByRole('button', { name: 'Start it again' }).click()
    for (const page of [control, watching]) await connected(page)
  })
})
