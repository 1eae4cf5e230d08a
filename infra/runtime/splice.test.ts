import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { closingHead, splice, statusOf, upgradeHead } from './splice.ts'

const closers: (() => void)[] = []
after(() => {
  for (const close of closers) close()
})
const portOf = (server: { address: () => unknown }): number => (server.address() as AddressInfo).port

/** A proxy in front of an upstream that `serve` plays; gives the proxy's port. */
const proxyTo = async (serve: (socket: Socket) => void): Promise<number> => {
  const upstream = createServer(socket => {
    socket.on('error', () => {})
    serve(socket)
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const proxy = createHttpServer().listen(0, '127.0.0.1')
  proxy.on('upgrade', (request, socket, early) => {
    splice(request, socket, early, { port: portOf(upstream), path: '/devtools/browser/x', downCode: 'browser-down' })
  })
  await once(proxy, 'listening')
  closers.push(
    () => proxy.close(),
    () => upstream.close(),
  )
  return portOf(proxy)
}

const request =
  'GET / HTTP/1.1\r\nHost: 1.2.3.4:9222\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nx-porthole-key: k\r\n\r\n'
const readAll = async (socket: Socket): Promise<string> => {
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}

test('bytes that came early on either side are neither lost nor reordered', async () => {
  let seen = ''
  const port = await proxyTo(socket => {
    socket.on('data', chunk => {
      const first = seen === ''
      seen += chunk
      if (first) socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhello')
      if (seen.endsWith('one two')) socket.end(' bye')
    })
  })
  const client = connect(port, '127.0.0.1')
  client.write(`${request}one`)
  client.write(' two')
  assert.equal(await readAll(client), 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhello bye')
  assert.match(seen, /^GET \/devtools\/browser\/x HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/)
  assert.doesNotMatch(seen, /porthole/i)
})

test('an answer that is not 101 is passed on, and a request sent behind the upgrade never reaches Chromium', async () => {
  let seen = ''
  const port = await proxyTo(socket => {
    socket.on('data', chunk => {
      seen += chunk
      socket.write('HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\ngone')
      socket.end()
    })
  })
  const client = connect(port, '127.0.0.1')
  client.write(`${request}GET /json/close/x HTTP/1.1\r\nHost: a\r\n\r\n`)
  assert.equal(await readAll(client), 'HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone')
  assert.doesNotMatch(seen, /json\/close/)
})

test('an upstream that closes without an answer, or is not there, is a 503', async () => {
  const port = await proxyTo(socket => socket.destroy())
  const client = connect(port, '127.0.0.1')
  client.write(request)
  assert.match(await readAll(client), /^HTTP\/1\.1 503 .*"code":"browser-down"/s)
})

test('a client that goes away closes the upstream, and the other way round', async () => {
  const upstreamClosed = Promise.withResolvers<void>()
  const port = await proxyTo(socket => {
    socket.once('data', () => socket.write('HTTP/1.1 101 OK\r\n\r\n'))
    socket.once('close', () => upstreamClosed.resolve())
  })
  const client = connect(port, '127.0.0.1')
  client.write(request)
  await once(client, 'data')
  client.destroy()
  await upstreamClosed.promise
})

test('a reader that stops holds the writer back', async () => {
  let written = 0
  const limit = 64 * 1024 * 1024
  const stalled = Promise.withResolvers<void>()
  const port = await proxyTo(socket => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 101 OK\r\n\r\n')
      const chunk = Buffer.alloc(1024 * 1024)
      const pump = () => {
        while (written < limit && socket.write(chunk)) written += chunk.length
        stalled.resolve()
      }
      socket.on('drain', pump)
      pump()
    })
  })
  const client = connect(port, '127.0.0.1')
  client.write(request)
  await once(client, 'data')
  client.pause()
  await stalled.promise
  await new Promise(resolve => setTimeout(resolve, 200))
  assert.ok(written < limit / 2, `${written} bytes went into a connection that nobody reads`)
  client.destroy()
})

test('Chromium gets its own Host, and neither Origin nor what is between the agent and us', () => {
  const head = upgradeHead(
    ['Host', 'a', 'Origin', 'b', 'X-Porthole-Key', 'c', 'X-Forwarded-For', 'd', 'Sec-WebSocket-Key', 'e'],
    '/x',
    '127.0.0.1:1',
  )
  assert.equal(head, 'GET /x HTTP/1.1\r\nHost: 127.0.0.1:1\r\nSec-WebSocket-Key: e\r\n\r\n')
})

test('a status is read from an answer’s head only', () => {
  assert.equal(statusOf('HTTP/1.1 101 Switching Protocols\r\nA: b'), 101)
  assert.equal(statusOf('SSH-2.0-OpenSSH'), 0)
  assert.equal(
    closingHead('HTTP/1.1 403 No\r\nConnection: keep-alive\r\nA: b'),
    'HTTP/1.1 403 No\r\nA: b\r\nConnection: close\r\n\r\n',
  )
})
