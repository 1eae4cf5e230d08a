import { type Child, describeExit, type Exit } from '../../infra/dev/child.ts'
import type { Lab } from '../lab/kit.ts'
import type { Death } from './history.ts'

/** Whether a process ended by itself: what strikes it is KILL, what ends it in order TERM. */
export const isOwnDoing = ({ code, signal }: Exit): boolean =>
  signal === null ? code !== 0 : signal !== 'SIGKILL' && signal !== 'SIGTERM'

/**
 * Notes every gateway and agent that ends by itself. The function it gives looks for those that were started since, in
 * place of others.
 */
export const watchDeaths = (
  { gateways, hosts }: Pick<Lab, 'gateways' | 'hosts'>,
  now: () => number,
  deaths: Death[],
): (() => void) => {
  const watched = new Set<Promise<Exit>>()
  const watch = (what: string, { ended }: Pick<Child, 'ended'>) => {
    if (watched.has(ended)) return
    watched.add(ended)
    void ended.then(exit => {
      if (isOwnDoing(exit)) deaths.push({ what, at: now(), exit: describeExit(exit) })
    })
  }
  const look = () => {
    for (const [n, gateway] of gateways.entries()) watch(`gateway-${n + 1}`, gateway.process())
    for (const host of hosts) watch(`agent-${host.name}`, host.agent())
  }
  look()
  return look
}
