import { setTimeout as sleep } from 'node:timers/promises'
import { type LabClock, lagMs } from '../../lab/clock.ts'
import type { Fault, Struck } from '../fault.ts'
import { choose } from './choose.ts'
import { struck } from './mending.ts'

const hour = 3600

/** An hour ahead or behind. */
export const clockOfAgent: Fault = {
  name: "an agent's clock an hour off",
  async strike({ hosts }, random) {
    const { thing, number } = choose(hosts, random)
    return await shift(`agent ${number}`, thing.clock, random)
  },
}

export const clockOfGateway: Fault = {
  name: "a gateway's clock an hour off",
  async strike({ gateways }, random) {
    const { thing, number } = choose(gateways, random)
    return await shift(`gateway ${number}`, thing.clock, random)
  },
}

async function shift(whose: string, clock: LabClock | undefined, random: () => number): Promise<Struck> {
  if (!clock) throw new Error('the clocks of this lab cannot be set: start it with ownClocks')
  const seconds = random() < 0.5 ? hour : -hour
  const set = async (seconds: number) => {
    await clock.shift(seconds)
    await sleep(lagMs) // the process looks at its clock's file now and then, and tells nobody
  }
  await set(seconds)
  return struck(`clock of ${whose} ${seconds > 0 ? 'ahead' : 'behind'}`, {}, () => set(0))
}
