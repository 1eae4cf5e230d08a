import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Guard } from './guard.ts'
import { refuseUpgrade, sendProblem } from './problem.ts'
import { createRfbFilter } from './rfb-filter.ts'

/** A still screen makes no traffic, and something on the way drops silent connections. */
const defaultPingMs = 20_000
/** A viewer that answered none of so many pings in a row is gone. */
const maxUnanswered = 3
/** Bytes that may wait for a slow viewer before the X server is held back. */
const highWater = 1024 * 1024
/** Longest message from a viewer: a large clipboard. */
const maxMessage = 4 * 1024 * 1024

export type ViewOptions = {
  /** The unix socket of the VNC server; undefined when there is no screen. */
  vncSocket: () => string | undefined
  guard: Guard
  /** Milliseconds between pings. */
  pingMs?: number
  /** Called when a viewer used keyboard, pointer or clipboard. */
  onUse: () => void
}

/** The view port: RFB over WebSocket under `/websockify`. With `x-porthole-access: view` a viewer can only watch. */
export const createViewPort = (options: ViewOptions): Server => {
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: maxMessage,
    handleProtocols: offered => (offered.has('binary') ? 'binary' : false),
  })
  const server = createServer((request, response) => {
    const refused = options.guard(request.headers)
    if (refused !== undefined) return sendProblem(response, { code: refused })
    sendProblem(response, { code: request.url?.split('?', 1)[0] === '/websockify' ? 'upgrade-required' : 'not-found' })
  })
  server.on('upgrade', (request, socket, early) => {
    socket.on('error', () => socket.destroy())
    const refused = options.guard(request.headers)
    if (refused !== undefined) return refuseUpgrade(socket, { code: refused })
    if (request.url?.split('?', 1)[0] !== '/websockify') return refuseUpgrade(socket, { code: 'not-found' })
    const path = options.vncSocket()
    if (path === undefined) return refuseUpgrade(socket, { code: 'no-screen' })
    const mayControl = ['control', undefined].includes(request.headers['x-porthole-access']?.toString())
    connectScreen(path).then(
      vnc => {
        if (socket.destroyed) return vnc.destroy()
        socket.once('close', () => vnc.destroy())
        sockets.handleUpgrade(request, socket, early, viewer => bridge(viewer, vnc, mayControl, options))
      },
      () => refuseUpgrade(socket, { code: 'display-down' }),
    )
  })
  return server
}

/** The X server lets few wait to be accepted; when many viewers come at once, the kernel asks the rest to try again. */
const busyTries = 100
const busyMs = 20

/**
 * A connection to the screen that is paused: until a viewer's handshake is written nothing may be read, and the server
 * greets first.
 * @throws Error of the connection; one with the code EAGAIN when the queue of the X server stays full for 2 s.
 */
const connectScreen = async (path: string): Promise<Socket> => {
  for (let tries = 1; ; tries += 1) {
    const vnc = connect(path)
    try {
      await once(vnc, 'connect')
      vnc.pause()
      vnc.on('error', () => vnc.destroy())
      return vnc
    } catch (error) {
      if (tries === busyTries || (error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      await setTimeout(busyMs)
    }
  }
}

/** Joins a viewer to the VNC server until either goes. */
const bridge = (
  viewer: WebSocket,
  vnc: Socket,
  mayControl: boolean,
  { onUse, pingMs = defaultPingMs }: Pick<ViewOptions, 'onUse' | 'pingMs'>,
): void => {
  const filter = createRfbFilter({ mayControl, onUse })
  let unanswered = 0
  const ping = setInterval(() => {
    if (viewer.isPaused) return
    if (unanswered >= maxUnanswered) return viewer.terminate()
    unanswered += 1
    viewer.ping()
  }, pingMs)

  vnc.on('data', chunk => {
    viewer.send(chunk, () => {
      if (viewer.bufferedAmount < highWater) vnc.resume()
    })
    if (viewer.bufferedAmount >= highWater) vnc.pause()
  })
  vnc.on('drain', () => viewer.resume())
  vnc.on('end', () => viewer.close(1001, 'The screen has gone'))
  vnc.on('close', () => viewer.close(1001, 'The screen has gone'))

  viewer.on('message', data => {
    if (!Buffer.isBuffer(data)) return
    try {
      for (const part of filter(data)) vnc.write(part)
    } catch {
      return viewer.close(1008, 'The RFB stream could not be followed')
    }
    if (vnc.writableNeedDrain) viewer.pause()
  })
  viewer.on('pong', () => {
    unanswered = 0
  })
  viewer.on('error', () => viewer.terminate())
  viewer.on('close', () => {
    clearInterval(ping)
    vnc.destroy()
  })
  vnc.resume()
}
