import { type Browser, startBrowser } from './browser.ts'
import { type Config, readConfig } from './config.ts'
import { type Display, startDisplay } from './display.ts'
import { createSettings } from './personal.ts'
import { createStartup } from './startup.ts'

const log = (message: string): void => {
  process.stderr.write(`porthole-runtime: ${message.replaceAll('\n', ' ')}\n`)
}

/** Settles with undefined when the container is told to stop. */
const stopRequested = (): Promise<undefined> =>
  new Promise(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(undefined))
  })

/**
 * Runs the runtime until it is told to stop, or until the browser or the screen is lost.
 * @returns the reason why it ended by itself, undefined after a stop.
 */
const runRuntime = async (config: Config): Promise<string | undefined> => {
  const startup = createStartup()
  const settings = createSettings(config)
  startup.mark('boot')
  const stop = stopRequested()
  let browser: Browser | undefined
  let display: Display | undefined

  const show = async (): Promise<string | undefined> => {
    if (config.ui) display = await startDisplay(config)
    startup.mark('display')
    return display?.name
  }
  const browse = async (shown: Promise<string | undefined>): Promise<Browser> => {
    browser = await startBrowser(settings.current, shown, Date.now, log)
    startup.mark('browser')
    return browser
  }
  // Loaded while Chromium comes up, which nothing may hold up: with servers and sockets it is most of what there is to load.
  const open = async (shown: Promise<unknown>): Promise<void> => {
    await shown
    const { openPorts } = await import('./ports.ts')
    await openPorts(settings, { browser: () => browser, display: () => display, startup, log })
  }
  const start = async (): Promise<string> => {
    const shown = show()
    const [{ ended }] = await Promise.all([browse(shown), open(shown)])
    startup.finish()
    const keyboardFault = await display?.keyboard
    if (keyboardFault !== undefined) log(keyboardFault)
    return Promise.race([ended, ...(display === undefined ? [] : [display.ended])])
  }

  const reason = await Promise.race([stop, start()])
  await browser?.stop()
  await display?.stop()
  return reason
}

const main = async (): Promise<number> => {
  try {
    const reason = await runRuntime(readConfig())
    if (reason === undefined) return 0
    log(reason)
  } catch (error) {
    log(error instanceof Error ? error.message : String(error))
  }
  return 1
}

// While the image is built this file is run to be compiled and kept, as all others are: see warm.ts.
if (process.argv[2] === 'warm') await import('./warm.ts')
// Whatever is still open (sockets, children) ends with the process.
else process.exit(await main())
