import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type Doorway = { url: string; close(): Promise<void> }

export type DoorwayOptions = {
  /** Listens here, on any free port. */
  host: string
  /** Gateways, as http://127.0.0.1:4747. */
  to: readonly string[]
}

const mostConnections = 1024
const connectMs = 3_000

/**
 * The one address of all gateways, for agents: each connection goes to the next gateway that takes it. It stands in for the
 * load balancer of a real installation, and lets hosts reach gateways that listen on the loopback and nowhere else.
 */
export async function openDoorway({ host, to }: DoorwayOptions): Promise<Doorway> {
  const targets = to.map(url => new URL(url))
  const sockets = new Set<Socket>()
  let turn = 0
  const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
    turn += 1
    const order = targets.map((_, n) => targets[(turn + n) % targets.length])
    void lead(
      socket,
      order.filter(target => target !== undefined),
    )
  })
  server.maxConnections = mostConnections
  server.listen({ host, port: 0, exclusive: true })
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return {
    url: `http://${host}:${port}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

async function lead(socket: Socket, targets: readonly URL[]) {
  for (const { hostname, port } of targets) {
    const gateway = await reach(hostname.replace(/^\[|\]$/g, ''), Number(port) || 80)
    if (!gateway) continue
    const end = () => {
      gateway.destroy()
      socket.destroy()
    }
    gateway.on('error', end).on('close', end)
    socket.on('close', end)
    if (socket.destroyed) return end()
    socket.pipe(gateway).pipe(socket)
    return
  }
  socket.destroy()
}

function reach(host: string, port: number): Promise<Socket | undefined> {
  const { promise, resolve } = Promise.withResolvers<Socket | undefined>()
  const socket = connect({ host, port, noDelay: true, allowHalfOpen: true })
  const giveUp = () => {
    socket.destroy()
    resolve(undefined)
  }
  const timer = setTimeout(giveUp, connectMs)
  socket.once('error', giveUp).once('connect', () => {
    socket.off('error', giveUp)
    resolve(socket)
  })
  return promise.finally(() => clearTimeout(timer))
}
