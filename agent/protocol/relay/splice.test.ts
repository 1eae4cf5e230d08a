import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net, { type AddressInfo, Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { RawUpstream, startChain, switching, upgrade, Wire, within } from './relay-kit.ts'
import { createSilence } from './silence.ts'
import { splice } from './splice.ts'

/** A relay's end and the far end of one connection. */
const pair = async (t: TestContext): Promise<[near: Socket, far: Wire]> => {
  const server = net.createServer({ allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const far = net.connect({ port: (server.address() as AddressInfo).port, allowHalfOpen: true })
  const [near]: Socket[] = await once(server, 'connection')
  assert(near)
  server.close()
  t.after(() => {
    near.destroy()
    far.destroy()
  })
  return [near, new Wire(far)]
}

test('a half-close after a long silence leaves the other side its time for a reply', async t => {
  let at = 0
  const silence = createSilence(5, () => at)
  const [client, farClient] = await pair(t)
  const [upstream, farUpstream] = await pair(t)
  const { ended } = splice(client, { socket: upstream }, { idleMs: 0, halfOpenMs: 60_000 }, silence)
  at = 3_600_000
  farClient.socket.end()
  await within(farUpstream.ended, 'the FIN')
  // Several looks.
  await new Promise(resolve => setTimeout(resolve, 50))
  farUpstream.send('reply').socket.end()
  await farClient.until('reply')
  assert.equal(await within(ended, 'the end'), undefined)
})

/** Whether Linux has a keep-alive timer on the connection between two ports of the loopback, seen from the first. */
const isProbed = (from: number, to: number): boolean => {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0')
  const line = readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .find(row => row.includes(` 0100007F:${hex(from)} 0100007F:${hex(to)} 01 `))
  // The field after the queues is the timer; 2 is keep-alive (kernel: Documentation/networking/proc_net_tcp.rst).
  return line !== undefined && / 02:[0-9A-F]{8} /.test(line)
}

test('both connections of a socket are probed while they are silent, and wait for nobody to fill a packet', async t => {
  const quick = new Set<Socket>()
  const original = Socket.prototype.setNoDelay
  t.mock.method(Socket.prototype, 'setNoDelay', function (this: Socket, on?: boolean) {
    if (on !== false) quick.add(this)
    return original.call(this, on)
  })
  const upstream = await RawUpstream.start(t)
  const chain = await startChain(t, 1, { origin: upstream.origin })
  const client = (await chain.connect()).send(upgrade())
  const there = (await upstream.request()).send(switching)
  await client.until('101')
  const outer = [chain.port, client.socket.localPort ?? 0] as const
  const inner = [there.socket.remotePort ?? 0, there.socket.localPort ?? 0] as const
  for (const [near, far] of [outer, inner]) {
    if (process.platform === 'linux') assert(isProbed(near, far), `${near} to ${far} is not probed`)
    assert(
      [...quick].some(socket => socket.localPort === near && socket.remotePort === far),
      `${near} to ${far} waits`,
    )
  }
})
