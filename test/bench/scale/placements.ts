import type { BenchOptions } from '../bench.ts'
import { startCost } from '../cpu.ts'
import { spread } from '../simulation/figures.ts'
import type { Part } from '../simulation/part.ts'
import type { PlacerQuestion, PlacerReport } from '../simulation/placer-part.ts'
import { bookErrors, forgetPlaced, seedHosts, seedRuntimes, seedTenants } from '../simulation/rows.ts'
import { cpuOfAll, openWorld, type World } from '../simulation/world.ts'
import type { Table } from '../table.ts'

const tenants = 100
/** Of all gateways together. */
const atOnce = 32
const perSecond = 500
const allRuntimes = 100_000
const runningPerHost = 10

type Load = PlacerQuestion['load']
type Figure = {
  placed: number
  failed: number
  p50: number
  p99: number
  seconds: number
  placer: number
  postgres: number
}

/**
 * How fast runtimes are placed: claimed and placed in one transaction, running in the next, by processes that do just that.
 *
 * @throws Error when anything was overbooked, lost, or placed twice
 */
export const measurePlacements = async ({ quick, tell, signal }: BenchOptions): Promise<Table[]> => {
  const closed: string[][] = []
  const open: string[][] = []
  for (const hosts of quick ? [200] : [100, 1000, 10_000]) {
    const world = await openWorld()
    try {
      await seedTenants(world.sql, tenants)
      await seedHosts(world.sql, hosts, { withoutBeats: true })
      const count = quick ? 10_000 : allRuntimes
      await seedRuntimes(world.sql, { count, running: hosts * runningPerHost, hosts, tenants })
      for (const gateways of quick ? [2] : hosts === 100 ? [1] : [1, 2, 4]) {
        const measure = async (load: Load) => {
          const figures: Figure[] = []
          for (let n = 0; n < (quick ? 1 : 3); n += 1) {
            signal.throwIfAborted()
            figures.push(await measureOne(world, { gateways, load, hosts, seconds: quick ? 3 : 10 }))
          }
          return rowOf(hosts, gateways, figures)
        }
        tell(`placements on ${hosts} hosts by ${gateways} gateways`)
        closed.push(await measure({ atOnce: atOnce / gateways }))
        open.push(await measure({ perSecond: perSecond / gateways }))
      }
    } finally {
      await world.close()
    }
  }
  const columns = [
    'hosts',
    'gateways',
    'placed/s',
    'p50 ms',
    'p99 ms',
    'no room',
    'cores gateways',
    'cores Postgres',
    'µs gateway',
    'µs Postgres',
  ]
  const among = quick ? '10,000' : '100,000'
  return [
    {
      title: `Placements, ${atOnce} at a time`,
      note: `Among ${among} runtimes. As fast as it goes. After each run the books were right: nothing overbooked, every owner once.`,
      columns,
      rows: closed,
    },
    {
      title: `Placements, ${perSecond} a second`,
      note: 'Times count from when a placement was due, so that a queue shows. "No room" had been refused though there was some.',
      columns,
      rows: open,
    },
  ]
}

const rowOf = (hosts: number, gateways: number, figures: Figure[]): string[] => {
  const each = (value: (figure: Figure) => number, digits = 1) => spread(figures.map(value), digits)
  return [
    String(hosts),
    String(gateways),
    each(({ placed, seconds }) => placed / seconds, 0),
    each(({ p50 }) => p50),
    each(({ p99 }) => p99),
    each(({ failed }) => failed, 0),
    each(({ placer, seconds }) => placer / seconds, 2),
    each(({ postgres, seconds }) => postgres / seconds, 2),
    each(({ placer, placed }) => (placer / placed) * 1e6, 0),
    each(({ postgres, placed }) => (postgres / placed) * 1e6, 0),
  ]
}

/** Warms new processes up with some placements that are not counted. */
const measureOne = async (
  world: World,
  { gateways, load, hosts, seconds }: { gateways: number; load: Load; hosts: number; seconds: number },
): Promise<Figure> => {
  const placers = Array.from({ length: gateways }, () => world.startPlacer())
  try {
    await Promise.all(placers.map(placer => placer.ask('open', world.databaseUrl)))
    const roomEach = Math.floor((hosts * runningPerHost * 0.9) / gateways)
    const warm = Math.min(200, Math.floor(roomEach / 4))
    await workAll(placers, 'warm', load, { most: warm, seconds })
    const end = startCost({ placer: cpuOfAll(placers), postgres: world.postgresCpu })
    const reports = await workAll(placers, 'work', load, { most: roomEach - warm, seconds })
    const { cpu } = end()
    const errors = [...(await bookErrors(world.sql)), ...(await historyErrors(world))]
    if (errors.length > 0) throw new Error(`the books are wrong: ${errors.join('; ')}`)
    await forgetPlaced(world.sql)
    const sum = (value: (report: PlacerReport) => number) => reports.reduce((total, report) => total + value(report), 0)
    return {
      ...cpu,
      placed: sum(({ placed }) => placed),
      failed: sum(({ refused, failed }) => refused + Object.values(failed).reduce((a, b) => a + b, 0)),
      seconds: Math.max(...reports.map(report => report.seconds)),
      // The gateways have the same share of the load: the worst of them is told.
      p50: Math.max(...reports.map(({ p50 }) => p50)),
      p99: Math.max(...reports.map(({ p99 }) => p99)),
    }
  } finally {
    await Promise.all(placers.map(placer => placer.stop()))
  }
}

const workAll = (placers: Part[], name: string, load: Load, ends: { most: number; seconds: number }) =>
  Promise.all(
    placers.map((placer, n) =>
      placer.ask<PlacerReport>(
        'work',
        { name: `${name}-${n}`, tenants, load, ...ends } satisfies PlacerQuestion,
        300_000,
      ),
    ),
  )

/** Whether what runs was placed once: one event of each move, at generation 1. */
const historyErrors = async ({ sql }: World): Promise<string[]> => {
  const twice = await sql<{ id: string }[]>`
    select r.id from runtimes r left join events e on e.runtime_id = r.id and e.to_state = 'starting'
    where r.owner not like 'seeded-%' and r.state = 'running'
    group by r.id, r.generation having count(e.seq) <> 1 or r.generation <> 1 limit 5`
  return twice.map(({ id }) => `${id} was not placed just once`)
}
