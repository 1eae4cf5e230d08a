import type { Fault } from '../fault.ts'
import { choose } from './choose.ts'
import { struck } from './mending.ts'

export const fullDisk: Fault = {
  name: 'full disk',
  async strike({ hosts }, random) {
    const { thing: host, number } = choose(hosts, random)
    const { disk } = host
    if (!disk) throw new Error('the hosts of this lab have no disks of their own: start it with ownDisks')
    try {
      await disk.fill()
    } catch (error) {
      await disk.empty()
      throw error
    }
    return struck(`disk of host ${number}`, { host: host.id }, disk.empty)
  },
}
