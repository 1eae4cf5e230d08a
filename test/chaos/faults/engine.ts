import { forcedEnd } from '../../../infra/dev/child.ts'
import type { Fault } from '../fault.ts'
import { choose } from './choose.ts'
import { struck } from './mending.ts'

/** Its containers run on; the next dockerd stops them, as it does everywhere without live-restore. */
export const killEngine: Fault = {
  name: 'kill a dockerd',
  async strike({ hosts }, random) {
    const { thing: host, number } = choose(hosts, random)
    await host.stopEngine(forcedEnd)
    return struck(`dockerd of host ${number}`, { host: host.id }, host.startEngine)
  },
}
