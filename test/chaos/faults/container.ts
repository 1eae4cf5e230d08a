import type { Fault } from '../fault.ts'
import { choose } from './choose.ts'
import { struck } from './mending.ts'
import { runningContainers } from './running.ts'

/** There is nothing to put right: its owner is told, and starts it again. */
export const killContainer: Fault = {
  name: 'kill a container',
  async strike(lab, random) {
    const running = await runningContainers(lab)
    if (running.length === 0) return struck('no container: none runs', {}, async () => {})
    const { name, host, container } = choose(running, random).thing
    try {
      await container.kill({ signal: 'SIGKILL', abortSignal: AbortSignal.timeout(15_000) })
    } catch (error) {
      // Stopped, frozen or deleted since it was looked for.
      if (!(error instanceof Error && 'statusCode' in error)) throw error
      return struck(`no container: ${name} does not run any more`, {}, async () => {})
    }
    return struck(`container ${name} on ${host}`, { container: name }, async () => {})
  },
}
