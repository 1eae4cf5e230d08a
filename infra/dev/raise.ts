import { ensureSpace } from '../docker/space.ts'
import { ensureHostsPossible } from '../hosts/ability.ts'
import { allOrNone } from './all-or-none.ts'
import { openDoorway } from './doorway.ts'
import { removeFormerHosts } from './former-hosts.ts'
import { gatewayApi } from './gateway-api.ts'
import type { Shape } from './options.ts'
import { inStep } from './progress.ts'
import { raiseAgents } from './raise-agent.ts'
import { choosePorts, type Front, raiseGateways } from './raise-gateway.ts'
import { type RaisedPlaces, raisePlaces } from './raise-places.ts'
import type { Raising } from './raising.ts'
import type { DevInfo } from './state.ts'

export type Stack = {
  info(): DevInfo
  /** Keeps the processes running until the signal aborts; `onChange` after each restart. Rejects when it cannot. */
  watch(onChange: () => void): Promise<void>
}

/** Starts the pieces in their order, engines and their image beside Postgres and the gateways. */
export async function raise(raising: Raising): Promise<Stack> {
  const { config, state, shape, progress, signal } = raising
  if (shape.hosts > 1) ensureHostsPossible()
  ensureSpace(config.root, 'this repo')
  const ports = await choosePorts(config, shape.gateways)
  const owner = firstOwner(shape)
  const [{ places, bridgeAddress }, front] = await allOrNone(signal, ends => [
    raisePlaces({ ...raising, signal: ends }),
    raiseGateways({ ...raising, signal: ends }, ports, owner),
  ])
  const agents = await raiseAgents(raising, places, front, await gatewayForAgents(raising, bridgeAddress, front))
  await removeFormerHosts({
    state,
    hostIds: agents.map(agent => agent.current().hostId),
    api: gatewayApi(front.localUrl, front.tokens.adminToken),
    note: progress.note,
    signal,
  })
  const api = gatewayApi(front.localUrl, front.tokens.tenantToken)
  const browser = await inStep(progress, 'First browser', () => api.ensureBrowser(owner, signal))

  return {
    info: () => ({
      gatewayUrl: front.publicUrl,
      gatewayUrls: front.publicUrls,
      adminToken: front.tokens.adminToken,
      tenantToken: front.tokens.tenantToken,
      databaseUrl: front.databaseUrl,
      hosts: agents.flatMap((agent, n) => {
        const { hostId, url, pid } = agent.current()
        const place = places[n]
        if (!place) return []
        const { name, dockerHost, netns } = place
        return [{ id: hostId, name, url, pid, dockerHost, ...(netns && { netns }) }]
      }),
      gatewayPids: front.gateways.map(gateway => gateway.current().pid),
      viewUrl: `${browser.urls.view}#token=${front.tokens.viewToken}`,
      consoleUrl: `${front.publicUrl}/console`,
    }),
    async watch(onChange) {
      const ended = new AbortController()
      const watching = { tell: progress.note, signal: AbortSignal.any([signal, ended.signal]), onChange }
      const watches = [...front.kept, ...agents].map(part => part.watch(watching))
      try {
        await Promise.race(watches)
      } finally {
        ended.abort()
        await Promise.allSettled(watches)
      }
    },
  }
}

/** A profile stays on its host, and another number of hosts is another set of them: each has a first browser of its own. */
const firstOwner = ({ hosts }: Shape): string => (hosts === 1 ? 'demo' : `demo-${hosts}`)

/**
 * Where agents reach the gateways. Hosts in namespaces of their own can't reach this machine's loopback; the gateways go on
 * listening there and nowhere else, and a doorway at the bridge leads to them: nobody but the hosts is let in by it.
 */
async function gatewayForAgents(
  { shape, endings }: Raising,
  bridgeAddress: RaisedPlaces['bridgeAddress'],
  front: Front,
): Promise<string> {
  if (shape.hosts === 1 && shape.gateways === 1) return front.localUrl
  const doorway = await openDoorway({ host: bridgeAddress ?? '127.0.0.1', to: front.localUrls })
  endings.push({ title: 'Doorway', stop: () => doorway.close(), force: () => doorway.close() })
  return doorway.url
}
