import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchOptions } from '../bench.ts'
import { startCost } from '../cpu.ts'
import { spread } from '../simulation/figures.ts'
import type { FleetQuestion, FleetReport } from '../simulation/fleet-part.ts'
import { seedHosts, seedRuntimes, seedTenants } from '../simulation/rows.ts'
import { cpuOfAll, openWorld } from '../simulation/world.ts'
import type { Table } from '../table.ts'

export const everyMs = 5000
/** As the agent's. */
export const tokenMs = 30_000
export const runtimesPerHost = 10
/** Hosts that come up in a second, see fleet-part.ts; then all have told everything once more. */
const joinsPerSecond = 400
const settleMs = 10_000

/** What heartbeats cost: real gateways, real tokens, a connection for each host. */
export const measureHeartbeats = async ({ quick, tell, signal }: BenchOptions): Promise<Table> => {
  const rows: string[][] = []
  const sizes = quick ? [{ hosts: 200, gateways: 1 }] : [100, 1000, 10_000].map(hosts => ({ hosts, gateways: 1 }))
  if (!quick) sizes.push({ hosts: 10_000, gateways: 2 })
  for (const { hosts, gateways } of sizes) {
    signal.throwIfAborted()
    tell(`heartbeats of ${hosts} hosts at ${gateways} gateways`)
    rows.push(await measureOne({ hosts, gateways, repeats: quick ? 1 : 3, seconds: quick ? 5 : 20, signal }))
  }
  return {
    title: 'Heartbeats every 5 s',
    note: `Each host has ${runtimesPerHost} runtimes, and tells of them in full every 30 s. Cores are those of all gateways, and of Postgres; µs are of CPU for each heartbeat, with what an idle gateway uses.`,
    columns: [
      'hosts',
      'gateways',
      'beats/s',
      'p50 ms',
      'p99 ms',
      'late or lost',
      'cores gateways',
      'cores Postgres',
      'µs gateway',
      'µs Postgres',
    ],
    rows,
  }
}

const measureOne = async (size: {
  hosts: number
  gateways: number
  repeats: number
  seconds: number
  signal: AbortSignal
}) => {
  const { hosts } = size
  const world = await openWorld()
  try {
    await seedTenants(world.sql, 100)
    await seedHosts(world.sql, hosts)
    const runtimes = hosts * runtimesPerHost
    await seedRuntimes(world.sql, { count: runtimes, hosts, tenants: 100 })
    const gateways = await world.startGateways(size.gateways)
    const fleet = world.startFleet()
    const ports = gateways.map(({ port }) => port)
    await fleet.ask('beat', { hosts, runtimes, ports, everyMs, tokenMs } satisfies FleetQuestion)
    await sleep((hosts / joinsPerSecond) * 1000 + settleMs, undefined, size)
    await fleet.ask('report')
    const figures: { report: FleetReport; gateway: number; postgres: number; seconds: number }[] = []
    for (let n = 0; n < size.repeats; n += 1) {
      const end = startCost({ gateway: cpuOfAll(gateways), postgres: world.postgresCpu })
      await sleep(size.seconds * 1000, undefined, size)
      const { cpu, seconds } = end()
      figures.push({ report: await fleet.ask('report'), ...cpu, seconds })
    }
    const each = (value: (figure: (typeof figures)[number]) => number, digits = 1) => spread(figures.map(value), digits)
    return [
      String(hosts),
      String(size.gateways),
      each(({ report, seconds }) => report.accepted / seconds, 0),
      each(({ report }) => report.p50),
      each(({ report }) => report.p99),
      each(({ report }) => report.failed + report.refused, 0),
      each(({ gateway, seconds }) => gateway / seconds, 2),
      each(({ postgres, seconds }) => postgres / seconds, 2),
      each(({ gateway, report }) => (gateway / report.accepted) * 1e6, 0),
      each(({ postgres, report }) => (postgres / report.accepted) * 1e6, 0),
    ]
  } finally {
    await world.close()
  }
}
