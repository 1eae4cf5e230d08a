import { eachOrNone } from './all-or-none.ts'
import { forcedEnd } from './child.ts'
import { removeRunning, within } from './containers.ts'
import { gatewayApi } from './gateway-api.ts'
import type { Place } from './place.ts'
import { inStep } from './progress.ts'
import type { Front } from './raise-gateway.ts'
import type { Raising } from './raising.ts'
import { type Agent, startAgent } from './stack.ts'
import { type Kept, keep } from './supervise.ts'

const stopWithin = 25_000

/**
 * An agent at each place, joined to the gateway.
 * @param gatewayUrl where the agents reach it
 */
export async function raiseAgents(raising: Raising, places: readonly Place[], front: Front, gatewayUrl: string) {
  const { progress, signal } = raising
  const nextToken = joinTokens(front)
  const agents = await inStep(
    progress,
    places.length === 1 ? 'Agent' : 'Agents',
    () =>
      eachOrNone(signal, ends =>
        places.map(place => raiseAgent({ ...raising, signal: ends }, place, gatewayUrl, nextToken)),
      ),
    agents => (agents.length === 1 ? (agents[0]?.current().hostId ?? '') : `${agents.length} joined`),
  )
  endBrowsersAtLast(raising, places, agents, front)
  return agents
}

/** A join token is good for one use and five minutes: the first is there, a later start or one after a long build needs another. */
function joinTokens({ tokens, mintedAt, localUrl }: Front): (ends: AbortSignal) => Promise<string> {
  let unused: string | undefined = tokens.joinToken
  return async ends => {
    const first = performance.now() - mintedAt < 4 * 60_000 ? unused : undefined
    unused = undefined
    return first ?? (await gatewayApi(localUrl, tokens.adminToken).joinToken(ends))
  }
}

async function raiseAgent(
  { config, state, endings, signal }: Raising,
  place: Place,
  gatewayUrl: string,
  nextToken: (ends: AbortSignal) => Promise<string>,
): Promise<Kept<Agent>> {
  const label = place.number === undefined ? '' : ` ${place.number}`
  const role = `agent${label.replace(' ', '-')}`
  const agent = await keep({
    name: `The agent${label}`,
    signal,
    start: async (ends, former: Agent | undefined) =>
      startAgent({
        root: config.root,
        logDir: state.dir,
        logName: role,
        env: config.env,
        gatewayUrl,
        joinToken: await nextToken(ends),
        ...place.prefixes,
        dataDir: place.dataDir,
        hostName: place.name,
        dockerHost: place.dockerHost,
        image: place.image,
        within: place.within,
        port: former ? Number(new URL(former.url).port) : 0,
        ...(place.listenHost && { listenHost: place.listenHost }),
        ...(place.settings && { settings: { ...place.settings } }),
        onSpawn: pid => state.recordProcess(role, pid),
        signal: ends,
      }),
  })
  state.recordHost(agent.current().hostId)
  endings.push({
    title: `Agent${label}`,
    stop: () => agent.current().stop(),
    force: () => agent.current().stop(forcedEnd),
  })
  return agent
}

function endBrowsersAtLast(
  { endings }: Raising,
  places: readonly Place[],
  agents: readonly Kept<Agent>[],
  front: Front,
) {
  const hostIds = agents.map(agent => agent.current().hostId)
  const removeAll = async () => {
    const removed = await Promise.all(places.map(({ docker }) => removeRunning(docker, hostIds)))
    return removed.reduce((sum, n) => sum + n, 0)
  }
  endings.push({
    title: 'Browsers',
    async stop() {
      const ends = AbortSignal.timeout(stopWithin)
      const asked = await gatewayApi(front.localUrl, front.tokens.tenantToken)
        .stopRuntimes(hostIds, ends)
        .catch(() => 0)
      const removed = (await within(stopWithin, removeAll())) ?? 0
      return `${Math.max(asked, removed)} stopped`
    },
    force: removeAll,
  })
}
