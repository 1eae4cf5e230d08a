import type http from 'node:http'
import type { Relay } from '@porthole/protocol/relay'
import { type House, isForOwner } from '../house.ts'
import { isTurning } from '../runtimes/driver.ts'
import { connectScope } from './access.ts'
import { uploadIdleTimeoutMs } from './pass-on.ts'
import { demandPlain } from './plain-request.ts'
import { relayProblem } from './relay-problem.ts'
import { parseEdgeTarget } from './route.ts'
import { isHealthLook, wayTo } from './target.ts'

/** What is asked of the house; none of it waits. */
export type Asked = Pick<House, 'base' | 'publicHost'> & {
  doorman: Pick<House['doorman'], 'known'>
  hops: Pick<House['hops'], 'known'>
  log: Pick<House['log'], 'info'>
  portHosts: Pick<House['portHosts'], 'read'>
  routes: Pick<House['routes'], 'knownHost' | 'knownRuntime' | 'touch'>
  sockets: Pick<House['sockets'], 'enter'>
}

/**
 * Passes on requests for `/rpc/…` of which everything is known: who asks, which runtime, and that it runs. Nothing is asked
 * and nothing is waited for, which is what most requests need, and the router costs them as much again. Whatever is
 * not known, or is to be refused, is left to the router.
 *
 * @returns whether it has taken the request
 */
export const createExpress =
  (
    house: Asked,
    relay: Pick<Relay, 'http'>,
    nextRequestId: () => string,
  ): ((req: http.IncomingMessage, res: http.ServerResponse) => boolean) =>
  (req, res) => {
    if (!req.url?.startsWith('/rpc/') || house.portHosts.read(req.headers.host) !== undefined) return false
    const route = parseEdgeTarget(req.url)
    const caller = house.doorman.known(req.headers.authorization)
    if (!route || !caller?.scopes.has(connectScope)) return false
    const runtime = house.routes.knownRuntime(caller.tenant, route.ownerHash)
    if (runtime?.state !== 'running' || isTurning(runtime) || !isForOwner(caller, runtime)) return false
    const host = runtime.hostId === null ? undefined : house.routes.knownHost(runtime.hostId)
    if (!host?.live) return false
    const { id, generation } = runtime
    const hop = house.hops.known({ host: host.id, runtime: id, generation, access: 'control' })
    if (hop === undefined) return false
    let stop = () => {}
    const { tenant, subject, tokenId, issuerId, expiresAt } = caller
    let leave: () => void
    try {
      demandPlain(req)
      const place = house.sockets.enter({
        ...{ tenant, subject, tokenId, issuerId, expiresAt, access: 'control' },
        ...{ runtimeId: id, door: 'rpc', kind: 'request', close: () => stop() },
      })
      place.leadsTo(generation)
      leave = place.leave
    } catch {
      // The router comes to the same, and says so.
      return false
    }
    if (!isHealthLook(req.method, 'rpc', route.rest)) house.routes.touch(id)
    const requestId = nextRequestId()
    const way = wayTo(house, { runtime, host, hop, port: 'rpc', rest: route.rest || '/', req, requestId })
    const passed = relay.http(req, res, {
      ...way,
      uploadIdleTimeoutMs,
      onBegin: end => {
        stop = end
      },
      problem: relayProblem(requestId),
    })
    void passed.then(result => {
      leave()
      house.log.info({ requestId, tenant, runtime: id, door: 'rpc', ...result }, 'edge request')
    })
    return true
  }
