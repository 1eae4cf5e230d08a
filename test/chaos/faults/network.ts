import { once } from 'node:events'
import { connect } from 'node:net'
import { eventually } from '../../kit/eventually.ts'
import type { LabHost } from '../../lab/kit.ts'
import type { Fault } from '../fault.ts'
import { choose } from './choose.ts'
import { struck } from './mending.ts'

/** What a round trip takes longer, in milliseconds. */
export const delayMs = 300
/** Of the packets, each way. */
export const lossShare = 0.05

/** Something is done to the network between a host and the gateways, and taken back again. */
const onLink = (
  name: string,
  strike: (host: LabHost) => Promise<void>,
  mend: (host: LabHost) => Promise<void>,
): Fault => ({
  name,
  async strike({ hosts }, random) {
    const { thing: host, number } = choose(hosts, random)
    const damage = struck(`${name}: host ${number}`, { host: host.id }, async () => {
      await mend(host)
      await eventually(() => answers(host), 15_000)
    })
    try {
      await strike(host)
    } catch (error) {
      // Half of it may be done.
      await mend(host)
      throw error
    }
    return damage
  },
})

export const partition: Fault = onLink(
  'partition',
  host => host.cut(),
  host => host.heal(),
)

export const delay: Fault = onLink(
  `${delayMs} ms of delay`,
  host => host.slow(delayMs),
  host => host.slow(0),
)

export const loss: Fault = onLink(
  `${lossShare * 100} % of loss`,
  host => host.lose(lossShare),
  host => host.lose(0),
)

/** Over as soon as it is done. */
export const reset: Fault = onLink(
  'reset of all connections',
  host => host.reset(),
  async () => {},
)

/** Whether anything comes back from there, be it that nobody listens. */
async function answers(host: LabHost) {
  const { hostname, port } = new URL(host.agent().url)
  const socket = connect({ host: hostname, port: Number(port) })
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(2_000) })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED')) throw error
  } finally {
    socket.destroy()
  }
}
