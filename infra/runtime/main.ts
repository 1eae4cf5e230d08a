import type { Server } from 'node:http'
import { hostname } from 'node:os'
import { type Browser, startBrowser } from './browser.ts'
import { createCdpPort } from './cdp-port.ts'
import { type Config, readConfig } from './config.ts'
import { type Display, startDisplay } from './display.ts'
import { createGuard } from './guard.ts'
import { createHealth } from './health.ts'
import { createRpcPort } from './rpc-port.ts'
import { createViewPort } from './view-port.ts'

const log = (message: string): void => {
  process.stderr.write(`porthole-runtime: ${message.replaceAll('\n', ' ')}\n`)
}

const listen = (server: Server, port: number, host: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })

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
  const stop = stopRequested()
  const guard = createGuard({ key: config.key, hostname: hostname() })
  let browser: Browser | undefined
  let display: Display | undefined
  let lastInputAt: Date | undefined
  const health = createHealth({
    ui: config.ui,
    viewUrl: config.viewUrl,
    browser: () => browser,
    display: () => display,
    lastInputAt: () => lastInputAt,
  })
  const rpc = createRpcPort({ guard, browser: () => browser, health, modelConfigured: config.modelConfigured, log })
  const cdp = createCdpPort(() => browser, guard)
  const view = createViewPort({
    guard,
    vncSocket: () => display?.vncSocket,
    onUse: () => {
      lastInputAt = new Date()
    },
  })

  const start = async (): Promise<string> => {
    const listening = Promise.all([
      listen(rpc, config.rpc.port, config.rpc.host),
      listen(cdp, config.cdpPort, '0.0.0.0'),
      listen(view, config.viewPort, '0.0.0.0'),
    ])
    if (config.ui) display = await startDisplay(config)
    browser = await startBrowser(config, display?.name, Date.now, log)
    await listening
    const keyboardFault = await display?.keyboard
    if (keyboardFault !== undefined) log(keyboardFault)
    return Promise.race([browser.ended, ...(display === undefined ? [] : [display.ended])])
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

// Whatever is still open (sockets, children) ends with the process.
process.exit(await main())
