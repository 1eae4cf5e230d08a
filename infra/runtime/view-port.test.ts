import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import WebSocket from 'ws'
import { createViewPort } from './view-port.ts'

const pingMs = 20

/** A view port before a screen that never says a word, and somebody who watches it. */
const watch = async (t: TestContext, { autoPong }: { autoPong: boolean }) => {
  const folder = mkdtempSync(join(tmpdir(), 'porthole-view-'))
  const vncSocket = join(folder, 'vnc.sock')
  const screens: Socket[] = []
  const screen = createServer(socket => {
    screens.push(socket)
    socket.on('error', () => {})
  }).listen(vncSocket)
  await once(screen, 'listening')
  const port = createViewPort({ vncSocket: () => vncSocket, guard: () => undefined, onUse: () => {}, pingMs })
  port.listen(0, '127.0.0.1')
  await once(port, 'listening')
  const url = `ws://127.0.0.1:${(port.address() as AddressInfo).port}/websockify`
  const viewer = new WebSocket(url, { autoPong })
  t.after(() => {
    viewer.terminate()
    port.close()
    for (const socket of screens) socket.destroy()
    screen.close()
    rmSync(folder, { recursive: true, force: true })
  })
  await once(viewer, 'open')
  return { viewer, screens }
}

test('a view of a still screen is kept open by pings', async t => {
  const { viewer } = await watch(t, { autoPong: true })
  // Far more than may stay unanswered.
  for (let n = 0; n < 10; n += 1) await once(viewer, 'ping', { signal: AbortSignal.timeout(5000) })
  assert.equal(viewer.readyState, WebSocket.OPEN)
})

test('a viewer that answers no pings is taken for gone, and its connection to the screen ends', async t => {
  const { viewer, screens } = await watch(t, { autoPong: false })
  const [screen] = screens
  assert(screen)
  screen.resume()
  await Promise.all([once(viewer, 'close'), once(screen, 'close')])
})

test('a viewer who comes while the screen has no room for another waits for it', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'porthole-view-'))
  const vncSocket = join(folder, 'vnc.sock')
  const program = `require('net').createServer().listen({ path: ${JSON.stringify(vncSocket)}, backlog: 1 }, () => console.log())`
  const screen = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(screen.stdout, 'data')
  screen.kill('SIGSTOP')
  const waiting: Socket[] = []
  const isFull = () =>
    new Promise<boolean>(resolve => {
      const socket = connect(vncSocket)
      waiting.push(socket)
      socket.once('connect', () => resolve(false))
      socket.once('error', error => resolve('code' in error && error.code === 'EAGAIN'))
    })
  while (!(await isFull()));
  const port = createViewPort({ vncSocket: () => vncSocket, guard: () => undefined, onUse: () => {}, pingMs })
  port.listen(0, '127.0.0.1')
  await once(port, 'listening')
  const viewer = new WebSocket(`ws://127.0.0.1:${(port.address() as AddressInfo).port}/websockify`)
  t.after(() => {
    viewer.terminate()
    port.close()
    for (const socket of waiting) socket.destroy()
    screen.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  const opened = once(viewer, 'open')
  await once(port, 'upgrade')
  screen.kill('SIGCONT')
  await opened
})
