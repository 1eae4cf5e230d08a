import assert from 'node:assert/strict'
import { it } from 'node:test'
import { freshDatabase } from '../../kit/database.ts'
import { eventually } from '../../kit/eventually.ts'
import type { FleetQuestion, FleetReport } from './fleet-part.ts'
import type { PlacerQuestion, PlacerReport } from './placer-part.ts'
import { bookErrors, seedHosts, seedTenants } from './rows.ts'
import { enterWorld } from './world.ts'

const hosts = 200
const placements = 2000

it('200 hosts beat at two gateways, and two processes place 2,000 runtimes on them at once: all once, and none too many', async () => {
  const fresh = await freshDatabase()
  const world = await enterWorld(fresh.url)
  try {
    await seedTenants(world.sql, 10)
    await seedHosts(world.sql, hosts)
    // Nobody has heard of them yet: it is their heartbeats that make them live.
    await world.sql`update hosts set last_seen_at = null`
    const gateways = await world.startGateways(2)
    const ports = gateways.map(({ port }) => port)
    const fleet = world.startFleet()
    await fleet.ask('beat', { hosts, runtimes: 0, ports, everyMs: 1000, tokenMs: 30_000 } satisfies FleetQuestion)
    const live = () => world.sql`select 1 from hosts where last_seen_at > now() - interval '20 s'`
    await eventually(async () => assert.equal((await live()).length, hosts))

    const placers = [world.startPlacer(), world.startPlacer()]
    await Promise.all(placers.map(placer => placer.ask('open', world.databaseUrl)))
    const reports = await Promise.all(
      placers.map((placer, n) =>
        placer.ask<PlacerReport>(
          'work',
          {
            ...{ name: `placer-${n}`, tenants: 10, load: { atOnce: 16 } },
            ...{ most: placements / 2, seconds: 90, tries: 10 },
          } satisfies PlacerQuestion,
          100_000,
        ),
      ),
    )
    assert.deepEqual(
      reports.map(({ placed, refused, failed }) => ({ placed, refused, failed })),
      Array(2).fill({ placed: placements / 2, refused: 0, failed: {} }),
    )
    const [told] = await world.sql`
      select count(*)::int runtimes, count(distinct owner)::int owners, max(generation)::int generation,
        (select count(*)::int from events where to_state = 'starting') starts
      from runtimes where state = 'running' and reserved`
    assert.deepEqual({ ...told }, { runtimes: placements, owners: placements, generation: 1, starts: placements })
    assert.deepEqual(await bookErrors(world.sql), [])

    const { accepted, refused, reasons } = await fleet.ask<FleetReport>('report')
    assert(accepted >= hosts)
    assert.equal(refused, 0, JSON.stringify(reasons))
  } finally {
    await world.close()
    await fresh.drop()
  }
})
