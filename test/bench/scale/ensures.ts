import type { BenchOptions } from '../bench.ts'
import { startCost } from '../cpu.ts'
import { collectTimes, spread } from '../simulation/figures.ts'
import type { FleetQuestion } from '../simulation/fleet-part.ts'
import { bookErrors, seedHosts, seedTenants } from '../simulation/rows.ts'
import { openWire } from '../simulation/wire.ts'
import { cpuOfAll, openWorld } from '../simulation/world.ts'
import type { Table } from '../table.ts'
import { everyMs, tokenMs } from './heartbeats.ts'

const atOnce = 16
const tryMs = 60_000

/** Whole calls of `POST /v1/runtimes`, until the answer says that it runs; agents that have started it at once. */
export const measureEnsures = async ({ quick, tell }: BenchOptions): Promise<Table> => {
  const hosts = quick ? 100 : 1000
  const rows: string[][] = []
  for (const count of quick ? [1] : [1, 2]) {
    tell(`whole ensures on ${hosts} hosts at ${count} gateways`)
    const world = await openWorld()
    try {
      await seedTenants(world.sql, 1)
      const gateways = await world.startGateways(count)
      const [first] = gateways
      if (!first) throw new Error('there is no gateway')
      const fleet = world.startFleet()
      await seedHosts(world.sql, hosts, { url: await fleet.ask<string>('listen') })
      const ports = gateways.map(({ port }) => port)
      await fleet.ask('beat', { hosts, runtimes: 0, ports, everyMs, tokenMs } satisfies FleetQuestion)
      const { tenantToken } = await world.mintTokens(first)
      const figures: { perSecond: number; p50: number; p99: number; gateway: number; postgres: number }[] = []
      for (let repeat = 0; repeat < (quick ? 1 : 3); repeat += 1) {
        const times = collectTimes()
        const most = quick ? 100 : 1000
        let next = 0
        const end = startCost({ gateway: cpuOfAll(gateways), postgres: world.postgresCpu })
        await Promise.all(
          Array.from({ length: atOnce }, async (_, n) => {
            const wire = openWire(ports[n % ports.length] ?? 0)
            for (let k = next++; k < most; k = next++) {
              const body = JSON.stringify({ mode: 'docker-per-principal', userId: `ensured-${repeat}-${k}` })
              const startedAt = performance.now()
              const { status, body: said } = await wire.ask(
                `POST /v1/runtimes HTTP/1.1\r\nhost: porthole\r\ncontent-type: application/json\r\nauthorization: Bearer ${tenantToken}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
                tryMs,
              )
              if (status !== 201) throw new Error(`an ensure was answered ${status}: ${said}`)
              times.add(performance.now() - startedAt)
            }
            wire.close()
          }),
        )
        const { cpu, seconds } = end()
        const each = { gateway: (cpu.gateway / most) * 1e6, postgres: (cpu.postgres / most) * 1e6 }
        figures.push({ perSecond: most / seconds, p50: times.quantile(0.5), p99: times.quantile(0.99), ...each })
      }
      const errors = await bookErrors(world.sql)
      if (errors.length > 0) throw new Error(`the books are wrong: ${errors.join('; ')}`)
      const each = (value: (figure: (typeof figures)[number]) => number, digits = 0) =>
        spread(figures.map(value), digits)
      rows.push([
        String(hosts),
        String(count),
        each(({ perSecond }) => perSecond),
        each(({ p50 }) => p50, 1),
        each(({ p99 }) => p99, 1),
        each(({ gateway }) => gateway),
        each(({ postgres }) => postgres),
      ])
    } finally {
      await world.close()
    }
  }
  return {
    title: `Whole ensures over HTTP, ${atOnce} at a time`,
    note: 'All the way but for Docker: token, claim, placement, a signed command to an agent that answers at once, the move to running, the answer. The hosts beat meanwhile.',
    columns: ['hosts', 'gateways', 'ensures/s', 'p50 ms', 'p99 ms', 'µs gateway', 'µs Postgres'],
    rows,
  }
}
