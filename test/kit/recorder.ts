import http from 'node:http'
import net from 'node:net'
import { type Duplex, pipeline } from 'node:stream'

/** The head of a request, as it came. */
export type Seen = { method: string; target: string; headers: http.IncomingHttpHeaders }

/** Both ends of a server: what it does with requests, and with WebSockets. */
export type Site = {
  request: http.RequestListener
  upgrade?(req: http.IncomingMessage, socket: Duplex, head: Buffer): void
}

export type Recorder = Required<Site> & { seen: Seen[] }

/** Passes everything on to a plain HTTP server, unchanged, and notes the heads of the requests. */
export function createRecorder(target: { hostname: string; port: () => number }): Recorder {
  const seen: Seen[] = []
  const note = ({ method = '', url = '', headers }: http.IncomingMessage) => seen.push({ method, target: url, headers })
  const to = () => ({ host: target.hostname, port: target.port() })
  return {
    seen,
    request(req, res) {
      note(req)
      const { method, url, headers } = req
      // A connection each: one that is kept may be closed by the other side in the moment that it is used again.
      const onward = http.request({ ...to(), method, path: url, headers, agent: false })
      onward.once('response', answer => {
        res.writeHead(answer.statusCode ?? 502, answer.headers)
        // An answer that is cut off cuts off its copy: who waits for the rest would wait for ever.
        pipeline(answer, res, () => {})
      })
      onward.on('error', () => res.destroy())
      res.once('close', () => onward.destroy())
      req.pipe(onward)
    },
    upgrade(req, socket, head) {
      note(req)
      const onward = net.connect(to())
      const end = () => {
        socket.destroy()
        onward.destroy()
      }
      for (const side of [socket, onward]) side.once('error', end).once('close', end)
      const lines = [`${req.method} ${req.url} HTTP/1.1`]
      for (let i = 0; i < req.rawHeaders.length; i += 2) lines.push(`${req.rawHeaders[i]}: ${req.rawHeaders[i + 1]}`)
      onward.write(`${lines.join('\r\n')}\r\n\r\n`)
      onward.write(head)
      socket.pipe(onward).pipe(socket)
    },
  }
}
