import { setTimeout as sleep } from 'node:timers/promises'
import { connect, measureSilence } from '@porthole/db'
import type { BenchOptions } from '../bench.ts'
import { median, spread } from '../simulation/figures.ts'
import { hostIdOf } from '../simulation/fleet.ts'
import type { FleetQuestion } from '../simulation/fleet-part.ts'
import { seedHosts, seedRuntimes, seedTenants } from '../simulation/rows.ts'
import { openWorld, type World } from '../simulation/world.ts'
import type { Table } from '../table.ts'
import { everyMs, runtimesPerHost, tokenMs } from './heartbeats.ts'

/** A gateway declares nobody lost in its first minute, see hosts/loss.ts. */
const graceMs = 62_000
const giveUpMs = 150_000
const pollMs = 100

/** How long after its last word a host is noticed to be gone, while the others beat. */
export const measureLoss = async ({ quick, tell, signal }: BenchOptions): Promise<Table> => {
  const hosts = quick ? 200 : 10_000
  const gone = quick ? 1 : 3
  tell(`the loss of ${gone} of ${hosts} hosts`)
  const world = await openWorld()
  try {
    await seedTenants(world.sql, 100)
    await seedHosts(world.sql, hosts)
    const runtimes = hosts * runtimesPerHost
    await seedRuntimes(world.sql, { count: runtimes, hosts, tenants: 100 })
    const gateways = await world.startGateways(2)
    const fleet = world.startFleet()
    const ports = gateways.map(({ port }) => port)
    await fleet.ask('beat', { hosts, runtimes, ports, everyMs, tokenMs } satisfies FleetQuestion)
    await sleep(graceMs, undefined, { signal })
    const figures = await Promise.all(
      Array.from({ length: gone }, async (_, n) => {
        await sleep(n * 1300)
        const lastWord = await fleet.ask<number>('silence', n)
        const since = () => (Date.now() - lastWord) / 1000
        await until(
          world,
          sql => sql`select 1 from hosts where id = ${hostIdOf(n)} and last_seen_at < now() - interval '20 s'`,
        )
        const unreachable = since()
        await until(
          world,
          sql => sql`
          select 1 where not exists (select 1 from runtimes where host_id = ${hostIdOf(n)} and state <> 'lost')`,
        )
        return { unreachable, lost: since() }
      }),
    )
    const others = await world.sql<{ n: number }[]>`select count(*)::int n from runtimes where state = 'lost'`
    return {
      title: 'A host falls silent',
      note: 'Seconds after its last heartbeat was taken. A look is what each gateway does every 2 s to find the silent ones.',
      columns: ['hosts', 'runtimes', 'unreachable s', 'runtimes lost s', "lost that weren't silent", 'look ms'],
      rows: [
        [
          String(hosts),
          String(runtimes),
          spread(figures.map(({ unreachable }) => unreachable)),
          spread(figures.map(({ lost }) => lost)),
          String((others[0]?.n ?? Number.NaN) - gone * runtimesPerHost),
          (await lookMs(world)).toFixed(1),
        ],
      ],
    }
  } finally {
    await world.close()
  }
}

const until = async ({ sql }: World, found: (sql: World['sql']) => PromiseLike<{ length: number }>) => {
  const deadline = AbortSignal.timeout(giveUpMs)
  while ((await found(sql)).length === 0) await sleep(pollMs, undefined, { signal: deadline })
}

const lookMs = async ({ databaseUrl }: World): Promise<number> => {
  const database = connect(databaseUrl, { max: 1 })
  try {
    const times: number[] = []
    for (let n = 0; n < 20; n += 1) {
      const startedAt = performance.now()
      await measureSilence(database.db)
      times.push(performance.now() - startedAt)
    }
    return median(times)
  } finally {
    await database.close()
  }
}
