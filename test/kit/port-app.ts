/**
 * A small web application for a container: what it is asked, it tells. Runs in the browser image as
 * `node -e <this text>`; listens on 3000 (`app`) and 3001 (`api`). Its sockets echo, and those under `/pinged` ping ten times a second.
 */
export const portApp = `
const http = require('node:http')
const crypto = require('node:crypto')
const page = '<!doctype html><title>app</title><link rel="stylesheet" href="/style.css"><h1>from the container</h1><script src="/script.js"></script>'
const script = \`
document.cookie = 'fromScript=1'
localStorage.setItem('kept', 'here')
const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/echo')
socket.onopen = () => socket.send('hello over a socket')
socket.onmessage = ({ data }) => { document.title = data }
\`
const answer = (req, res) => {
  const { method, headers } = req
  const url = new URL(req.url, 'http://x')
  const chunks = []
  req.on('data', chunk => chunks.push(chunk)).on('end', () => {
    if (url.pathname === '/') return res.writeHead(200, { 'content-type': 'text/html', 'set-cookie': ['plain=1; Path=/; HttpOnly', 'wide=2; Domain=localhost; Path=/sub'] }).end(page)
    if (url.pathname === '/script.js') return res.writeHead(200, { 'content-type': 'text/javascript' }).end(script)
    if (url.pathname === '/style.css') return res.writeHead(200, { 'content-type': 'text/css' }).end('h1 { color: rgb(1, 2, 3) }')
    if (url.pathname === '/redirect') return res.writeHead(302, { location: url.searchParams.get('to').replace('INNER', headers.host).replace('PUBLIC', headers['x-forwarded-host']) }).end()
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(JSON.stringify({ method, url: req.url, headers, body: Buffer.concat(chunks).toString(), port: req.socket.localPort }))
  })
}
const upgrade = (req, socket) => {
  const accept = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n')
  socket.on('error', () => {})
  if (req.url === '/pinged') {
    const beat = setInterval(() => socket.write(Buffer.from([137, 0])), 100)
    socket.on('close', () => clearInterval(beat))
  }
  socket.on('data', data => {
    for (let rest = data; rest.length > 0; ) {
      const opcode = rest[0] & 15
      if (opcode === 8) return socket.end()
      const length = rest[1] & 127
      const mask = rest.subarray(2, 6)
      const text = Buffer.from(rest.subarray(6, 6 + length).map((byte, n) => byte ^ mask[n % 4]))
      if (opcode !== 10) socket.write(Buffer.concat([Buffer.from([129, text.length]), text]))
      rest = rest.subarray(6 + length)
    }
  })
}
for (const port of [3000, 3001]) http.createServer(answer).on('upgrade', upgrade).listen(port)
process.on('SIGTERM', () => process.exit(0))
`
