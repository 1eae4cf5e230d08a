import type { Server } from 'node:http'
import { hostname } from 'node:os'
import type { Browser } from './browser.ts'
import { createCdpPort } from './cdp-port.ts'
import type { Display } from './display.ts'
import { createGuard } from './guard.ts'
import { createHealth } from './health.ts'
import type { Settings } from './personal.ts'
import { createRpcPort } from './rpc-port.ts'
import type { Startup } from './startup.ts'
import { createUse } from './use.ts'
import { createViewPort } from './view-port.ts'

/** What the ports lead to; neither is there at first. */
export type Behind = {
  browser: () => Browser | undefined
  display: () => Display | undefined
  startup: Startup
  log: (message: string) => void
}

const listen = (server: Server, port: number, host: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })

/** Opens the ports of the runtime. @throws Error when one of them is taken */
export const openPorts = async (settings: Settings, { browser, display, startup, log }: Behind): Promise<void> => {
  const config = settings.current()
  const { key, ui } = config
  const guard = createGuard({ key, hostname: hostname() })
  let lastInputAt: Date | undefined
  const use = createUse()
  const health = createHealth({
    ...{ ui, browser, display },
    viewUrl: () => settings.current().viewUrl,
    lastInputAt: () => lastInputAt,
    unusedMs: use.unusedMs,
    startSteps: startup.steps,
  })
  const rpc = createRpcPort({
    guard,
    browser,
    health,
    startup,
    use,
    settings,
    takesPersonal: config.takesPersonal,
    log,
  })
  const cdp = createCdpPort(browser, guard, use.note)
  const view = createViewPort({
    guard,
    vncSocket: () => display()?.vncSocket,
    onUse: () => {
      lastInputAt = new Date()
      use.note()
    },
  })
  await Promise.all([
    listen(rpc, config.rpc.port, config.rpc.host),
    listen(cdp, config.cdpPort, '0.0.0.0'),
    listen(view, config.viewPort, '0.0.0.0'),
  ])
}
