import { execFile, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { promisify } from 'node:util'

const run = async (program: string, ...args: string[]): Promise<void> => {
  await promisify(execFile)(program, args, { timeout: 10_000 })
}

/** Answers on every address of its namespace: TCP on 8080, and on 53 any name as the one address it is given. */
const servers = `
  const net = require('node:net'), udp = require('node:dgram').createSocket('udp4')
  const address = Buffer.from(process.argv[1].split('.').map(Number))
  udp.on('message', (ask, from) => {
    let end = 12; while (ask[end]) end += ask[end] + 1
    const isA = ask.readUInt16BE(end + 1) === 1
    const head = Buffer.from([ask[0], ask[1], 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0])
    const answer = isA ? Buffer.concat([Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]), address]) : Buffer.alloc(0)
    udp.send(Buffer.concat([head, ask.subarray(12, end + 5), answer]), from.port, from.address)
  })
  // Answers must come from the address that was asked.
  udp.bind(53, process.argv[2], () => net.createServer(socket => socket.on('error', () => {}).end('hello'))
    .listen(8080, '0.0.0.0', () => console.log('ready')))`

/** A world outside of this machine, in a network namespace: one host on the internet with private addresses as well. */
export type Outside = {
  /** Of documentation (RFC 5737), and so nobody's: it stands for the internet. */
  internet: string
  /** Addresses that no runtime may reach. */
  closed: readonly string[]
  /** Where names are asked for. */
  nameserver: string
  port: number
  close(): Promise<void>
}

/** Makes it, with routes to it and nothing else; needs root. */
export const createOutside = async (): Promise<Outside> => {
  const n = randomInt(2, 127)
  const namespace = `porthole-test-${n}`
  const [near, far] = [`pt${n}near`, `pt${n}far`]
  const [host, internet, nameserver] = [`198.51.100.${n}`, `203.0.113.${n}`, `10.213.${n}.53`]
  const closed = [
    ...[nameserver, `192.168.${n}.10`, `172.31.${n}.10`, `169.254.${n}.10`, `100.64.${n}.10`, `198.18.${n}.10`],
  ]
  const inside = (...words: string[]) => run('ip', '-n', namespace, ...words)
  const stop = new AbortController()
  const close = async () => {
    stop.abort()
    // With the namespace go both ends of the cable, and with them the routes.
    await run('ip', 'netns', 'delete', namespace)
  }
  await run('ip', 'netns', 'add', namespace)
  try {
    await run('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', namespace)
    await run('ip', 'address', 'add', `${host}/32`, 'dev', near)
    await run('ip', 'link', 'set', near, 'up')
    await inside('link', 'set', 'lo', 'up')
    await inside('link', 'set', far, 'up')
    await inside('route', 'add', `${host}/32`, 'dev', far)
    for (const address of [internet, ...closed]) {
      await inside('address', 'add', `${address}/32`, 'dev', far)
      await run('ip', 'route', 'add', `${address}/32`, 'dev', near, 'src', host)
    }
    const words = ['netns', 'exec', namespace, process.execPath, '-e', servers, internet, nameserver]
    const child = spawn('ip', words, { stdio: ['ignore', 'pipe', 'inherit'], signal: stop.signal })
    child.on('error', () => undefined)
    await once(child.stdout, 'data', { signal: AbortSignal.timeout(10_000) })
  } catch (error) {
    await close()
    throw error
  }
  return { internet, closed, nameserver, port: 8080, close }
}
