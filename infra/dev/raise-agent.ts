import { hostname } from 'node:os'
import { join } from 'node:path'
import { forcedEnd } from './child.ts'
import { removeRunning, within } from './containers.ts'
import { gatewayApi } from './gateway-api.ts'
import { keepPrefixes } from './names.ts'
import { inStep } from './progress.ts'
import type { RaisedDocker } from './raise-docker.ts'
import type { Front } from './raise-gateway.ts'
import type { Raising } from './raising.ts'
import { type Agent, startAgent } from './stack.ts'
import { keep } from './supervise.ts'

const stopWithin = 25_000

/** The agent of this machine's Docker engine, joined to the gateway. */
export async function raiseAgent(raising: Raising, { docker, dockerHost, image }: RaisedDocker, front: Front) {
  const { config, state, progress, endings, signal } = raising
  return await inStep(
    progress,
    'Agent',
    async () => {
      let unused: string | undefined = front.tokens.joinToken
      const prefixes = await keepPrefixes(docker, join(state.dir, 'names.json'))
      const agent = await keep({
        name: 'The agent',
        signal,
        start: async (ends, former: Agent | undefined) => {
          // A join token is good for one use and five minutes: a later start, or one after a long build, needs another.
          const isFresh = performance.now() - front.mintedAt < 4 * 60_000
          const joinToken = isFresh && unused ? unused : (await front.mintTokens(ends)).joinToken
          unused = undefined
          return await startAgent({
            root: config.root,
            logDir: state.dir,
            env: config.env,
            gatewayUrl: front.localUrl,
            joinToken,
            ...prefixes,
            dataDir: join(state.dir, 'agent'),
            hostName: hostNameOf(hostname()),
            dockerHost,
            image,
            port: former ? Number(new URL(former.url).port) : 0,
            onSpawn: pid => state.recordProcess('agent', pid),
            signal: ends,
          })
        },
      })
      const { hostId } = agent.current()
      state.recordHost(hostId)
      endings.push({
        title: 'Agent',
        stop: () => agent.current().stop(),
        force: () => agent.current().stop(forcedEnd),
      })
      endings.push({
        title: 'Browsers',
        async stop() {
          const ends = AbortSignal.timeout(stopWithin)
          const asked = await gatewayApi(front.localUrl, front.tokens.tenantToken)
            .stopRuntimes(ends)
            .catch(() => 0)
          const removed = (await within(stopWithin, removeRunning(docker, [hostId]))) ?? 0
          return `${Math.max(asked, removed)} stopped`
        },
        force: () => removeRunning(docker, [hostId]),
      })
      return agent
    },
    agent => agent.current().hostId,
  )
}

/** This machine's name as a host's name may be written: lower case letters, digits and inner hyphens, up to 63. */
export function hostNameOf(name: string): string {
  const short = name.toLowerCase().split('.', 1)[0] ?? ''
  const fit = short
    .replace(/[^a-z0-9-]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '')
  return fit || 'local'
}
