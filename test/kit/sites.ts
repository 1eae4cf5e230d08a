import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { makeCertificate } from '../../agent/src/certificate.ts'
import type { Site } from './recorder.ts'

export type Listening = { port: number; close(): Promise<void> }

/** Serves a site on a free port of the loopback, without TLS. */
export const serveSite = (site: Site): Promise<Listening> => listenWith(http.createServer(), () => site)

/**
 * Serves several sites with TLS, each under its own name below `.example`, so that a browser takes them for different
 * ones. `chromiumArgs` is what a Chromium needs to find and trust them.
 */
export async function serveSites(
  sites: Readonly<Record<string, Site>>,
): Promise<Listening & { chromiumArgs: string[] }> {
  const { key, cert } = await makeCertificate({ hostName: 'test', host: 'sites.example' }, Date.now())
  const siteOf = (req: http.IncomingMessage) => sites[req.headers.host ?? '']
  const listening = await listenWith(https.createServer({ key, cert }), siteOf)
  const publicKey = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' })
  return {
    ...listening,
    chromiumArgs: [
      `--host-resolver-rules=MAP *.example 127.0.0.1:${listening.port}`,
      `--ignore-certificate-errors-spki-list=${createHash('sha256').update(publicKey).digest('base64')}`,
    ],
  }
}

async function listenWith(
  server: http.Server | https.Server,
  siteOf: (req: http.IncomingMessage) => Site | undefined,
): Promise<Listening> {
  const upgraded = new Set<Duplex>()
  server.on('request', (req, res) => {
    const site = siteOf(req)
    if (site) site.request(req, res)
    else res.writeHead(404).end()
  })
  server.on('upgrade', (req, socket, head) => {
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
    const upgrade = siteOf(req)?.upgrade
    if (upgrade) upgrade(req, socket, head)
    else socket.destroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      for (const socket of upgraded) socket.destroy()
      await closed
    },
  }
}
