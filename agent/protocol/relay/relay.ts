import type http from 'node:http'
import { Roster } from '../roster.ts'
import { Answer } from './answer.ts'
import { type Connect, connector } from './connect.ts'
import { createEndings } from './endings.ts'
import { codeOf, type RelayErrorCode, RelayFault } from './errors.ts'
import { type Exchange, untilClosed } from './exchange.ts'
import { HttpExchange } from './http.ts'
import { createPeers } from './peers.ts'
import { createPin, type Pin } from './pin.ts'
import { createPool } from './pool.ts'
import { createBuffers } from './reader.ts'
import { createSilence } from './silence.ts'
import { isStreamed, StreamedExchange } from './streamed.ts'
import type { Relay, RelayOptions, RelayResult, RelayTarget } from './types.ts'
import { isWebSocketUpgrade, UpgradeExchange } from './upgrade.ts'

/** A relay with its own pool of upstream connections, to be closed with it. */
export function createRelay(options: RelayOptions = {}): Relay {
  const { connectTimeoutMs: timeoutMs = 5_000, keepAliveMs = 4_000 } = options
  const wayFor = (pin?: Pin) => createWay(connector({ timeoutMs, tls: options.tls, pin }), keepAliveMs)
  const open = wayFor()
  const pinned = createPeers(certificate => wayFor(pinOf(certificate)))
  const maxExchanges = options.maxExchanges ?? 20_000
  const silence = createSilence()
  const buffers = createBuffers()
  const endings = createEndings()
  const live = new Roster<Pick<Exchange, 'stop'>>()
  const deferred = new WeakSet<http.IncomingMessage>()
  let closed = false

  /** Why a request is not even tried. */
  const refusal = (target: RelayTarget): RelayErrorCode | undefined => {
    if (closed || target.signal?.aborted) return 'closed'
    if (live.size >= maxExchanges) return 'overloaded'
    return target.path.startsWith('/') ? undefined : 'bad-request'
  }

  /** @throws RelayFault `upstream-unverified` */
  const wayTo = ({ origin, certificate }: RelayTarget) =>
    certificate === undefined ? open : pinned.of(origin, certificate)

  /** For an upgrade, whose refusal needs an exchange too. */
  const connectionTo = (target: RelayTarget): { connect: Connect; fault?: RelayErrorCode } => {
    try {
      return { connect: wayTo(target).connect }
    } catch (error) {
      return { connect: open.connect, fault: codeOf(error) }
    }
  }

  const whileLive = async (
    exchange: Pick<Exchange, 'stop'>,
    { signal, onBegin }: RelayTarget,
    run: () => Promise<RelayResult>,
  ): Promise<RelayResult> => {
    const place = live.enter(exchange)
    const forget = signal && endings.end(exchange, signal)
    onBegin?.(() => exchange.stop('closed'))
    const result = await run()
    forget?.()
    live.leave(place)
    return result
  }

  return {
    http(req, res, target) {
      const answer = new Answer(res, target)
      const code = refusal(target) ?? (isRelayed(req) ? undefined : 'method-not-allowed')
      const exchange = code === undefined ? compose(req, res, answer, target) : refused(answer, code)
      return whileLive(exchange, target, () => untilClosed(exchange, req, res))
    },
    async upgrade(req, socket, head, target) {
      const { connect, fault } = connectionTo(target)
      const exchange = new UpgradeExchange({ connect, silence, buffers }, req, socket, head, target)
      const code = refusal(target) ?? (isWebSocketUpgrade(req) ? fault : 'upgrade-unsupported')
      return whileLive(exchange, target, () => exchange.run(code))
    },
    deferContinue(server, isRelayed) {
      server.on('checkContinue', (req: http.IncomingMessage, res: http.ServerResponse) => {
        if (isRelayed(req)) deferred.add(req)
        else res.writeContinue()
        server.emit('request', req, res)
      })
    },
    async close() {
      closed = true
      for (const exchange of live.all()) exchange.stop('closed')
      await Promise.all([open.destroy(), pinned.destroy()])
    },
  }

  function compose(req: http.IncomingMessage, res: http.ServerResponse, answer: Answer, target: RelayTarget): Exchange {
    try {
      const { connect, pools } = wayTo(target)
      if (!isStreamed(req)) return new HttpExchange(pools, req, res, answer, target)
      return new StreamedExchange(connect, req, res, answer, target, deferred.has(req))
    } catch (error) {
      return refused(answer, codeOf(error))
    }
  }
}

/** A way to upstreams: connections of an exchange's own, and those that are kept. */
function createWay(connect: Connect, keepAliveMs: number) {
  const pools = { kept: createPool(connect, keepAliveMs), fresh: createPool(connect, keepAliveMs) }
  return {
    connect,
    pools,
    close: () => Promise.all([pools.kept.close(), pools.fresh.close()]),
    destroy: () => Promise.all([pools.kept.destroy(), pools.fresh.destroy()]),
  }
}

function pinOf(certificate: string): Pin {
  try {
    return createPin(certificate)
  } catch (cause) {
    throw new RelayFault('upstream-unverified', { cause })
  }
}

/** TRACE would echo the credentials that this hop adds; CONNECT is a tunnel. */
const isRelayed = (req: http.IncomingMessage): boolean => req.method !== 'TRACE' && req.method !== 'CONNECT'

function refused(answer: Answer, code: RelayErrorCode): Exchange {
  return {
    start: () => answer.fail(code),
    stop: reason => answer.fail(reason),
    result: () => ({ status: answer.status, code: answer.code ?? code, bytesIn: 0, bytesOut: answer.bytes }),
  }
}
