import { setTimeout as sleep } from 'node:timers/promises'
import { parseChord } from './keys.ts'
import { ActionFailed, type Page } from './page.ts'
import type { Action } from './rpc-schema.ts'

type Of<Type extends Action['type']> = Extract<Action, { type: Type }>
/** What an action adds to its result. */
type Output = Record<string, unknown>

const lifecycle = { load: 'load', domcontentloaded: 'DOMContentLoaded' } as const

const goto = async (page: Page, { url, waitUntil }: Of<'goto'>, signal: AbortSignal): Promise<Output> => {
  const seen = new Set<string>()
  const name = waitUntil === 'none' ? undefined : lifecycle[waitUntil]
  let loader: string | undefined
  // The event may come before the answer that says which loader to look for: remember what came.
  const loaded = page.expect(({ method, params }) => {
    if (method !== 'Page.lifecycleEvent' || params.name !== name) return false
    seen.add(String(params.loaderId))
    return loader !== undefined && seen.has(loader)
  }, signal)
  try {
    const { loaderId, errorText } = await page.send('Page.navigate', { url }, signal)
    if (errorText !== undefined) throw new ActionFailed('navigation-failed', `${errorText} at ${url.slice(0, 200)}`)
    loader = loaderId === undefined ? undefined : String(loaderId)
    // Without a loader only the fragment changed and nothing is loaded.
    if (loader !== undefined && name !== undefined && !seen.has(loader)) await loaded.done
  } finally {
    loaded.cancel()
  }
  return { url: await page.evaluate('location.href', signal) }
}

/** Resolves in the page once the selector finds an element, without asking again and again. */
const appears = (selector: string): string => `new Promise((resolve, reject) => {
  const find = () => document.querySelector(${JSON.stringify(selector)})
  try { if (find()) return resolve(true) } catch (error) { return reject(error) }
  const observer = new MutationObserver(() => { if (find()) { observer.disconnect(); resolve(true) } })
  observer.observe(document, { subtree: true, childList: true, attributes: true })
})`

const waitFor = async (page: Page, selector: string, signal: AbortSignal): Promise<void> => {
  while (true) {
    const navigated = page.expect(({ method }) => method === 'Page.domContentEventFired', signal)
    try {
      await page.evaluate(appears(selector), signal)
      return
    } catch (error) {
      // A navigation takes the script away with its document: look again in the next one.
      if (!(error instanceof ActionFailed) || error.code !== 'refused') throw error
      await navigated.done
    } finally {
      navigated.cancel()
    }
  }
}

const centerOf = async (page: Page, selector: string, signal: AbortSignal): Promise<{ x: number; y: number }> => {
  await waitFor(page, selector, signal)
  const box = await page.evaluate(
    `(() => {
      const element = document.querySelector(${JSON.stringify(selector)})
      if (!element) return null
      element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' })
      const { left, top, width, height } = element.getBoundingClientRect()
      return width > 0 && height > 0 ? { x: left + width / 2, y: top + height / 2 } : null
    })()`,
    signal,
  )
  if (box === null) throw new ActionFailed('not-found', `"${selector}" has no area to click on`)
  return box as { x: number; y: number }
}

const clickAt = async (
  page: Page,
  x: number,
  y: number,
  action: Pick<Of<'click'>, 'button' | 'count'>,
  signal: AbortSignal,
) => {
  const { button } = action
  await page.send('Input.dispatchMouseEvent', { type: 'mouseMoved', x, y }, signal)
  for (let clickCount = 1; clickCount <= action.count; clickCount += 1) {
    await page.send('Input.dispatchMouseEvent', { type: 'mousePressed', x, y, button, clickCount }, signal)
    await page.send('Input.dispatchMouseEvent', { type: 'mouseReleased', x, y, button, clickCount }, signal)
  }
}

const click = async (page: Page, action: Of<'click'>, signal: AbortSignal): Promise<Output> => {
  const { selector } = action
  const point = selector === undefined ? { x: action.x ?? 0, y: action.y ?? 0 } : await centerOf(page, selector, signal)
  await clickAt(page, point.x, point.y, action, signal)
  return {}
}

const type = async (page: Page, { selector, text, clear }: Of<'type'>, signal: AbortSignal): Promise<Output> => {
  if (selector !== undefined) {
    await waitFor(page, selector, signal)
    await page.evaluate(`document.querySelector(${JSON.stringify(selector)})?.focus()`, signal)
  }
  if (clear) {
    await page.evaluate(`document.execCommand('selectAll')`, signal)
    await press(page, { key: 'Delete' }, signal)
  }
  await page.send('Input.insertText', { text }, signal)
  return {}
}

const press = async (page: Page, { key }: Pick<Of<'press'>, 'key'>, signal: AbortSignal): Promise<Output> => {
  const chord = parseChord(key)
  if (chord === undefined) throw new ActionFailed('not-found', `There is no key "${key}"`)
  const common = { ...chord.key, modifiers: chord.modifiers }
  const down = chord.key.text === undefined ? 'rawKeyDown' : 'keyDown'
  await page.send('Input.dispatchKeyEvent', { type: down, ...common }, signal)
  await page.send('Input.dispatchKeyEvent', { type: 'keyUp', ...common, text: undefined }, signal)
  return {}
}

const wait = async (page: Page, { ms, selector }: Of<'wait'>, signal: AbortSignal): Promise<Output> => {
  if (selector !== undefined) await waitFor(page, selector, signal)
  else await sleep(ms ?? 0, undefined, { signal })
  return {}
}

const screenshot = async (page: Page, action: Of<'screenshot'>, signal: AbortSignal): Promise<Output> => {
  const { format, quality, fullPage } = action
  const params = { format, ...(format === 'jpeg' ? { quality: quality ?? 80 } : {}), captureBeyondViewport: fullPage }
  if (!fullPage) return { format, data: (await page.send('Page.captureScreenshot', params, signal)).data }
  const metrics = await page.send('Page.getLayoutMetrics', {}, signal)
  const { width, height } = metrics.cssContentSize as { width: number; height: number }
  const clip = { x: 0, y: 0, width, height, scale: 1 }
  return { format, data: (await page.send('Page.captureScreenshot', { ...params, clip }, signal)).data }
}

const pdf = async (page: Page, { landscape, printBackground }: Of<'pdf'>, signal: AbortSignal): Promise<Output> => {
  const { data } = await page.send('Page.printToPDF', { landscape, printBackground }, signal)
  return { data }
}

/** Carries one action out on a page; `data` of a screenshot or PDF is base64. */
export const perform = async (page: Page, action: Action, signal: AbortSignal): Promise<Output> => {
  switch (action.type) {
    case 'goto':
      return goto(page, action, signal)
    case 'click':
      return click(page, action, signal)
    case 'type':
      return type(page, action, signal)
    case 'press':
      return press(page, action, signal)
    case 'wait':
      return wait(page, action, signal)
    case 'evaluate':
      return { value: (await page.evaluate(action.expression, signal)) ?? null }
    case 'screenshot':
      return screenshot(page, action, signal)
    case 'pdf':
      return pdf(page, action, signal)
    case 'content':
      return { value: await page.evaluate('document.documentElement?.outerHTML ?? ""', signal) }
  }
}
