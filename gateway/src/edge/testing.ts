import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** A request as a host got it. */
export type Seen = { method: string; url: string; headers: http.IncomingHttpHeaders; body: string }

/** An agent whose every request is noted, and answered as the test says: for tests. */
export const createUpstream = async () => {
  const seen: Seen[] = []
  const answer = { status: 200, headers: {} as Record<string, string | string[]>, body: 'ok' }
  const server = http.createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk)
    const { method = '', url = '', headers } = req
    seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() })
    script.request(res)
  })
  const script = {
    /** How a request is answered, once it is here. */
    request: (res: http.ServerResponse) => void res.writeHead(answer.status, answer.headers).end(answer.body),
    /** What an upgrade is answered with, byte for byte. */
    upgrade: (_socket: Socket) => {},
  }
  server.on('upgrade', (req, socket) => {
    seen.push({ method: 'GET', url: req.url ?? '', headers: req.headers, body: '' })
    socket.on('error', () => {})
    script.upgrade(socket as Socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, seen, answer, script, server }
}
