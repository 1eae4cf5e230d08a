import { forcedEnd } from '../../../infra/dev/child.ts'
import type { Fault } from '../fault.ts'
import { choose } from './choose.ts'
import { struck } from './mending.ts'

export const killGateway: Fault = {
  name: 'kill a gateway',
  async strike({ gateways }, random) {
    const { thing: gateway, number } = choose(gateways, random)
    await gateway.process().stop(forcedEnd)
    return struck(`gateway ${number}`, { gateway: gateway.url }, gateway.restart)
  },
}

export const killAgent: Fault = {
  name: 'kill an agent',
  async strike({ hosts }, random) {
    const { thing: host, number } = choose(hosts, random)
    await host.agent().stop(forcedEnd)
    return struck(`agent ${number}`, { host: host.id }, host.restartAgent)
  },
}
