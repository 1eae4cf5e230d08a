import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Bridge } from './bridge.ts'
import { heldBack } from './held-back.ts'
import type { Naming } from './naming.ts'
import { addressIn } from './ranges.ts'
import { resetConnections } from './resets.ts'
import { attempt, system } from './system.ts'

export type SlowWay = {
  /** New connections go the short way again; those that took this one go on, without delay, until they end. */
  leave(): Promise<void>
  /** Ends it, and the connections that took it. */
  close(): Promise<void>
}

export type SlowWayOptions = {
  naming: Naming
  bridge: Pick<Bridge, 'address' | 'range'>
  /** The host's. */
  address: string
  /** What a round trip takes longer. */
  ms: number
  /** Where the host listens, and where this machine does. */
  ports: { host: number; machine: number }
}

/** Enough for everything that gateways and one agent have open. */
const mostConnections = 1024

/**
 * Leads TCP connections between this machine and a host, both ways, through a relay that holds every byte back. As much
 * as can be had without netem, which not every kernel has: for that the firewall turns new connections aside, and those that
 * stand are reset. The rules go with the bridge.
 */
export async function openSlowWay({ naming, bridge, address, ms, ports }: SlowWayOptions): Promise<SlowWay> {
  const { bridge: network } = naming
  // What the relay itself sends to the host comes from here, and is not turned aside again.
  const source = addressIn(bridge.range, 254)
  await attempt('ip', ['addr', 'add', `${source}/32`, 'dev', network])
  const pace = { ms: ms / 2 }
  const toHost = await openRelay('127.0.0.1', { host: address, port: ports.host, localAddress: source }, pace)
  const toMachine = await openRelay(bridge.address, { host: bridge.address, port: ports.machine }, pace)
  const to = (port: number) => ['-p', 'tcp', '--dport', String(port)]
  const rules = [
    [
      ...['OUTPUT', '-o', network, '-s', `${bridge.address}/32`, '-d', `${address}/32`, ...to(ports.host)],
      ...['-j', 'DNAT', '--to-destination', `127.0.0.1:${toHost.port}`],
    ],
    [
      ...['PREROUTING', '-i', network, '-s', `${address}/32`, '-d', `${bridge.address}/32`, ...to(ports.machine)],
      ...['-j', 'DNAT', '--to-destination', `${bridge.address}:${toMachine.port}`],
    ],
  ]
  const nat = (verb: '-I' | '-D', rule: readonly string[]) => ['-w', '5', '-t', 'nat', verb, ...rule]
  for (const rule of rules) await system('iptables', nat('-I', rule))
  await resetConnections(address)
  const leave = async () => {
    pace.ms = 0
    for (const rule of rules.splice(0)) await system('iptables', nat('-D', rule))
  }
  return {
    leave,
    async close() {
      await leave()
      await Promise.all([toHost.close(), toMachine.close()])
    },
  }
}

type Relay = { port: number; close(): Promise<void> }
type Target = { host: string; port: number; localAddress?: string }

async function openRelay(host: string, target: Target, pace: { ms: number }): Promise<Relay> {
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.setNoDelay(true).once('close', () => sockets.delete(socket))
    return socket
  }
  const server: Server = createServer({ allowHalfOpen: true }, near => {
    keep(near)
    const far = keep(connect({ ...target, allowHalfOpen: true }))
    const end = () => {
      near.destroy()
      far.destroy()
    }
    near.on('error', end).on('close', end)
    far.on('error', end).on('close', end)
    near.pipe(heldBack(pace)).pipe(far)
    far.pipe(heldBack(pace)).pipe(near)
  })
  server.maxConnections = mostConnections
  server.listen({ host, port: 0 })
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
