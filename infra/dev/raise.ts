import { ensureSpace } from '../docker/space.ts'
import { allOrNone } from './all-or-none.ts'
import { gatewayApi } from './gateway-api.ts'
import { inStep } from './progress.ts'
import { raiseAgent } from './raise-agent.ts'
import { raiseDocker } from './raise-docker.ts'
import { choosePort, raiseGateway } from './raise-gateway.ts'
import type { Raising } from './raising.ts'
import type { DevInfo } from './state.ts'

export type Stack = {
  info(): DevInfo
  /** Keeps the processes running until the signal aborts; `onChange` after each restart. Rejects when it cannot. */
  watch(onChange: () => void): Promise<void>
}

/** Starts the pieces in their order, Docker and its image beside Postgres and the gateway. */
export async function raise(raising: Raising): Promise<Stack> {
  const { config, progress, signal } = raising
  ensureSpace(config.root, 'this repo')
  const port = await choosePort(config)
  const [docker, front] = await allOrNone(signal, ends => [
    raiseDocker({ ...raising, signal: ends }),
    raiseGateway({ ...raising, signal: ends }, port),
  ])
  const agent = await raiseAgent(raising, docker, front)
  const api = gatewayApi(front.localUrl, front.tokens.tenantToken)
  const browser = await inStep(progress, 'First browser', () => api.ensureBrowser('demo', signal))

  return {
    info() {
      const { hostId, url, pid } = agent.current()
      return {
        gatewayUrl: front.publicUrl,
        adminToken: front.tokens.adminToken,
        tenantToken: front.tokens.tenantToken,
        databaseUrl: front.databaseUrl,
        hosts: [{ id: hostId, url, pid, dockerHost: docker.dockerHost }],
        gatewayPids: [front.gateway.current().pid],
        viewUrl: `${browser.urls.view}#token=${front.tokens.viewToken}`,
        consoleUrl: `${front.publicUrl}/console`,
      }
    },
    async watch(onChange) {
      const ended = new AbortController()
      const watching = { tell: progress.note, signal: AbortSignal.any([signal, ended.signal]), onChange }
      const watches = [...front.kept, agent].map(part => part.watch(watching))
      try {
        await Promise.race(watches)
      } finally {
        ended.abort()
        await Promise.allSettled(watches)
      }
    },
  }
}
