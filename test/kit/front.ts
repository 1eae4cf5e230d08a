import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { Duplex } from 'node:stream'
import tls from 'node:tls'
import { makeCertificate } from '../../agent/src/certificate.ts'
import { createRecorder, type Recorder } from './recorder.ts'

/** What stands before a gateway: ends TLS, and has the gateway below a path of its own. */
export type Front = {
  /** `https://127.0.0.1:<port><prefix>` */
  url: string
  /** How fast what upgraded connections bring may go to the client; undefined: as fast as it can. */
  pace: { bytesPerMs: number | undefined }
  /** What came through, with the paths as the gateway saw them. */
  recorder: Recorder
  /** What a Chromium needs to trust it. */
  chromiumArgs: string[]
  close(): Promise<void>
}

/**
 * Starts one, and has this process trust it.
 *
 * @param prefix such as `/tools/browsers`: what is not below it is a 404 of the front
 * @param port of the gateway on the loopback, asked for with every request
 */
export const startFront = async (prefix: string, port: () => number): Promise<Front> => {
  const { key, cert } = await makeCertificate({ hostName: 'front', host: '127.0.0.1' }, Date.now())
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), cert])
  const recorder = createRecorder({ hostname: '127.0.0.1', port })
  const publicKey = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' })
  const upgraded = new Set<Duplex>()
  /** Takes the prefix off; false for what is not below it. */
  const strip = (req: http.IncomingMessage): boolean => {
    if (!req.url?.startsWith(`${prefix}/`)) return false
    req.url = req.url.slice(prefix.length)
    return true
  }
  const pace: Front['pace'] = { bytesPerMs: undefined }
  const server = https.createServer({ key, cert })
  server.on('request', (req, res) => (strip(req) ? recorder.request(req, res) : res.writeHead(404).end()))
  server.on('upgrade', (req, socket, head) => {
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
    if (strip(req)) recorder.upgrade(req, pace.bytesPerMs === undefined ? socket : paced(socket, pace.bytesPerMs), head)
    else socket.destroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`,
    pace,
    recorder,
    chromiumArgs: [`--ignore-certificate-errors-spki-list=${createHash('sha256').update(publicKey).digest('base64')}`],
    async close() {
      const ended = once(server, 'close')
      server.close()
      server.closeAllConnections()
      for (const socket of upgraded) socket.destroy()
      await ended
    },
  }
}

/** A socket to which no more is written than that many bytes in a millisecond. */
function paced(socket: Duplex, bytesPerMs: number): Duplex {
  const slow = new Duplex({
    read: () => void socket.resume(),
    write(chunk: Buffer, _encoding, done) {
      socket.write(chunk)
      setTimeout(done, chunk.length / bytesPerMs)
    },
    final: done => void socket.end(done),
    destroy(error, done) {
      socket.destroy()
      done(error)
    },
  })
  socket.on('data', chunk => {
    if (!slow.push(chunk)) socket.pause()
  })
  socket.once('end', () => slow.push(null))
  for (const event of ['error', 'close']) socket.once(event, () => slow.destroy())
  return slow
}
