import type { LabOptions } from '../lab/kit.ts'
import type { Fault } from './fault.ts'
import { killChromium } from './faults/chromium.ts'
import { clockOfAgent, clockOfGateway } from './faults/clock.ts'
import { killContainer } from './faults/container.ts'
import { fullDisk } from './faults/disk.ts'
import { killEngine } from './faults/engine.ts'
import { delay, loss, partition, reset } from './faults/network.ts'
import { killPostgres } from './faults/postgres.ts'
import { killAgent, killGateway } from './faults/processes.ts'

/** Every kind of damage that the chaos suite does to a lab. */
export const faults: readonly Fault[] = [
  killGateway,
  killAgent,
  killEngine,
  killPostgres,
  killContainer,
  killChromium,
  partition,
  delay,
  loss,
  reset,
  fullDisk,
  clockOfAgent,
  clockOfGateway,
]

/** What a lab is started with, so that all of them can be done to it. */
export const breakable = { ownPostgres: true, ownDisks: true, ownClocks: true } as const satisfies LabOptions

/** With warm browsers that are given to owners, and room for all. */
export const warm = {
  ...breakable,
  gatewaySettings: { PORTHOLE_WARM: '1' },
  agentSettings: { PORTHOLE_SLOTS: '4' },
} as const satisfies LabOptions

/** As `breakable`, with a place less than owners: some have to wait for room, or are told that there is none. */
export const crowded = { ...breakable, agentSettings: { PORTHOLE_SLOTS: '1' } } as const satisfies LabOptions
