import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import tls from 'node:tls'
import { createRelay, type Relay, type RelayOptions, type RelayResult, relayServerOptions } from './index.ts'
import { testCertificate, testKey } from './test-certificate.ts'
import type { RelayTarget } from './types.ts'

const certificate = { key: testKey, cert: testCertificate }
const pinning: RelayOptions = { tls: () => ({ ca: testCertificate }) }

/** Milliseconds any single wait of a test may take. */
export const patience = 20_000
/** How many times longer than on a machine that does nothing else something may take. */
export const slack = 5

/** Fails after `ms` with what was waited for. */
export async function within<T>(promise: Promise<T>, what: string, ms = patience): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`Waited ${ms} ms for ${what}`)), ms)
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** One end of a connection, read and written as bytes. */
export class Wire {
  readonly socket: Socket
  /** As latin1. */
  readonly #pieces: string[] = []
  /** `end`: a FIN came. `closed`: `reset` when it was an error. */
  readonly ended: Promise<void>
  readonly closed: Promise<'clean' | 'reset'>
  #look: (() => void)[] = []

  constructor(socket: Socket) {
    this.socket = socket
    const ended = Promise.withResolvers<void>()
    const closed = Promise.withResolvers<'clean' | 'reset'>()
    this.ended = ended.promise
    this.closed = closed.promise
    let failed = false
    socket.on('error', () => {
      failed = true
    })
    socket.on('end', () => ended.resolve())
    socket.on('close', () => {
      closed.resolve(failed ? 'reset' : 'clean')
      this.#wake()
    })
    socket.on('data', chunk => {
      this.#pieces.push(chunk.toString('latin1'))
      this.#wake()
    })
  }

  /** What has come so far, as latin1. */
  get received(): string {
    return this.#pieces.join('')
  }

  /** As if nothing had come yet. */
  forget(): void {
    this.#pieces.length = 0
  }

  send(text: string | Buffer): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text)
    return this
  }

  /** Everything received, once it contains `text`. */
  async until(text: string): Promise<string> {
    let searched = 0
    let end = ''
    /** Looks at what is new: all of it again with each piece would take minutes for hundreds of megabytes. */
    const isThere = () => {
      const fresh = end + this.#pieces.slice(searched).join('')
      searched = this.#pieces.length
      end = fresh.slice(-text.length)
      return fresh.includes(text)
    }
    const seen = async () => {
      while (!isThere()) {
        if (this.socket.destroyed)
          throw new Error(`Closed before ${JSON.stringify(text)}: ${this.received.slice(-500)}`)
        await new Promise<void>(resolve => this.#look.push(resolve))
      }
      return this.received
    }
    return await within(seen(), JSON.stringify(text))
  }

  /** Everything received, once the other side has closed or ended. */
  async untilOver(): Promise<string> {
    await within(Promise.race([this.ended, this.closed]), 'the end of a connection')
    return this.received
  }

  #wake(): void {
    for (const look of this.#look.splice(0)) look()
  }
}

/** An upstream that does what its test says, byte by byte. */
export class RawUpstream {
  readonly server: net.Server
  readonly origin: string
  connections = 0
  readonly #waiting: ((wire: Wire) => void)[] = []
  readonly #come: Wire[] = []
  /** Every connection so far. */
  readonly wires: Wire[] = []
  #look: (() => void)[] = []

  private constructor(server: net.Server, secure: boolean) {
    this.server = server
    this.origin = `http${secure ? 's' : ''}://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => {
      this.connections += 1
      const wire = new Wire(socket)
      const next = this.#waiting.shift()
      if (next === undefined) this.#come.push(wire)
      else next(wire)
      this.wires.push(wire)
      socket.on('data', () => {
        for (const look of this.#look.splice(0)) look()
      })
    })
  }

  static async start(t: TestContext, secure = false): Promise<RawUpstream> {
    const options = { allowHalfOpen: true, noDelay: true }
    const server = secure ? tls.createServer({ ...options, ...certificate }) : net.createServer(options)
    const sockets = new Set<Socket>()
    server.on('connection', socket => sockets.add(socket.once('close', () => sockets.delete(socket))))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    return new RawUpstream(server, secure)
  }

  /** The next connection. */
  async accept(): Promise<Wire> {
    const come = this.#come.shift()
    if (come !== undefined) return come
    return await within(new Promise<Wire>(resolve => this.#waiting.push(resolve)), 'a connection to the upstream')
  }

  /** The connection, old or new, on which `text` has come. */
  async heard(text: string): Promise<Wire> {
    const hear = async () => {
      for (;;) {
        const wire = this.wires.find(wire => wire.received.includes(text))
        if (wire !== undefined) return wire
        await new Promise<void>(resolve => this.#look.push(resolve))
      }
    }
    return await within(hear(), `${JSON.stringify(text)} on the upstream`)
  }

  /** The next connection, once a request's head has come on it. */
  async request(): Promise<Wire> {
    const wire = await this.accept()
    await wire.until('\r\n\r\n')
    return wire
  }
}

export interface Chain {
  port: number
  /** Of every exchange that is over, the first hop's and the second's. */
  results: RelayResult[][]
  relays: Relay[]
  connect(): Promise<Wire>
  /** A hop's next result after those already taken; the first hop's unless told. */
  result(hop?: number): Promise<RelayResult>
}

export interface ChainOptions {
  origin: string
  /** For the last hop's target. */
  target?: Partial<RelayTarget>
  relay?: RelayOptions
  /** Whether every relay listens with TLS, and pins the certificate of the next. */
  secure?: boolean
}

/** Starts `hops` relay servers in a row in front of `origin`. */
export async function startChain(t: TestContext, hops: number, options: ChainOptions): Promise<Chain> {
  const results: RelayResult[][] = []
  const relays: Relay[] = []
  const arrived: (() => void)[] = []
  let origin = options.origin
  let port = 0
  for (let hop = hops - 1; hop >= 0; hop -= 1) {
    const isLast = hop === hops - 1
    const relay = createRelay({ ...pinning, ...(isLast ? options.relay : {}) })
    const upstream = origin
    const ended: RelayResult[] = []
    const note = (result: RelayResult) => {
      ended.push(result)
      for (const look of arrived.splice(0)) look()
    }
    const targetOf = (req: http.IncomingMessage): RelayTarget => ({
      origin: upstream,
      path: req.url ?? '/',
      headers: {},
      forwarded:
        hop === 0 ? { for: req.socket.remoteAddress ?? '', proto: 'http', host: req.headers.host ?? '' } : 'keep',
      ...(isLast ? options.target : {}),
    })
    const onRequest = (req: http.IncomingMessage, res: http.ServerResponse) =>
      void relay.http(req, res, targetOf(req)).then(note)
    const server = options.secure
      ? https.createServer({ ...relayServerOptions, ...certificate }, onRequest)
      : http.createServer(relayServerOptions, onRequest)
    server.on('upgrade', (req, socket, head) => void relay.upgrade(req, socket, head, targetOf(req)).then(note))
    relay.deferContinue(server, () => true)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
    origin = `http${options.secure ? 's' : ''}://127.0.0.1:${port}`
    t.after(async () => {
      await relay.close()
      server.closeAllConnections()
      server.close()
    })
    results.unshift(ended)
    relays.unshift(relay)
  }
  const taken = results.map(() => 0)
  return {
    port,
    results,
    relays,
    connect: async () => await dial(t, port, options.secure),
    result: async (hop = 0) => {
      const take = async () => {
        const n = taken[hop] ?? 0
        taken[hop] = n + 1
        for (;;) {
          const result = results[hop]?.[n]
          if (result !== undefined) return result
          await new Promise<void>(resolve => arrived.push(resolve))
        }
      }
      return await within(take(), 'the result of an exchange')
    },
  }
}

/** A raw client's connection. */
export async function dial(t: TestContext, port: number, secure = false): Promise<Wire> {
  const to = { port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }
  const socket = secure ? tls.connect({ ...to, ca: testCertificate }) : net.connect(to)
  t.after(() => socket.destroy())
  const wire = new Wire(socket)
  await once(socket, secure ? 'secureConnect' : 'connect')
  return wire
}

export const get = (path = '/', ...headers: string[]): string =>
  [`GET ${path} HTTP/1.1`, 'Host: public.example', ...headers, '', ''].join('\r\n')

export const upgrade = (...headers: string[]): string =>
  get(
    '/ws',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    ...headers,
  )

export const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

/** Bytes handed to the kernel by a socket that writes as long as it may, once that has stopped for 250 ms. */
export async function fillUntilStalled(socket: Socket, chunk: Buffer, limit: number): Promise<number> {
  let sent = 0
  const fill = () => {
    while (sent < limit) {
      sent += chunk.length
      if (!socket.write(chunk)) return
    }
  }
  socket.on('drain', fill)
  fill()
  let before = -1
  while (before !== sent && sent < limit) {
    before = sent
    await new Promise(resolve => setTimeout(resolve, 250))
  }
  socket.off('drain', fill)
  return sent
}
