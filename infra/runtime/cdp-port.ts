import { createServer, type Server } from 'node:http'
import type { Browser } from './browser.ts'
import { proxyDiscovery } from './cdp-discovery.ts'
import { createFrameFollower } from './frames.ts'
import type { Guard } from './guard.ts'
import { refuseUpgrade, sendProblem } from './problem.ts'
import { splice } from './splice.ts'

/** Where Chromium serves what a client asked to upgrade: a DevTools target, or the browser's own under `/`. */
const targetPath = (url: string, browserPath: string): string | undefined => {
  const path = url.split('?', 1)[0] ?? ''
  if (path === '/') return browserPath
  return /^\/devtools\/(browser|page)\/[\w-]+$/.test(path) ? path : undefined
}

/**
 * The CDP port. Chromium itself listens on loopback only, answers a foreign `Host` with 500 and a foreign `Origin`
 * with 403: it gets its own address as Host and no Origin, and this port does the checking.
 * @param onUse called when a client asks or says something; its pings are nothing
 */
export const createCdpPort = (browser: () => Browser | undefined, guard: Guard, onUse: () => void): Server => {
  const server = createServer((request, response) => {
    const refused = guard(request.headers)
    if (refused !== undefined) return sendProblem(response, { code: refused })
    if (!/^\/json(\/|\?|$)/.test(request.url ?? '')) return sendProblem(response, { code: 'not-found' })
    const chromium = browser()?.current()
    if (chromium === undefined) return sendProblem(response, { code: 'browser-down' })
    onUse()
    proxyDiscovery(request, response, chromium.port)
  })
  server.on('upgrade', (request, socket, early) => {
    socket.on('error', () => socket.destroy())
    const refused = guard(request.headers)
    if (refused !== undefined) return refuseUpgrade(socket, { code: refused })
    const chromium = browser()?.current()
    if (chromium === undefined) return refuseUpgrade(socket, { code: 'browser-down' })
    const path = targetPath(request.url ?? '', chromium.browserPath)
    if (path === undefined) return refuseUpgrade(socket, { code: 'not-found' })
    onUse()
    const onSent = createFrameFollower(onUse)
    splice(request, socket, early, { port: chromium.port, path, downCode: 'browser-down', onSent })
  })
  return server
}
