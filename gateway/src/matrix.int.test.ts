import assert from 'node:assert/strict'
import http from 'node:http'
import { after, before, describe, it } from 'node:test'
import type { Relay } from '@porthole/protocol/relay'
import { freshDatabase, type TestDatabase } from '../../test/kit/database.ts'
import { createApp } from './app.ts'
import { parseEdgeTarget, sharedSocketPath, socketPaths, takesSocket } from './edge/route.ts'
import type { House } from './house.ts'
import { ask, namesThing, pathOf } from './matrix/ask.ts'
import { type Callers, createCallers } from './matrix/callers.ts'
import { type CallerName, expected, frozenOut, rightful, welcome } from './matrix/expected.ts'
import { middlewares, routes, upgrades } from './matrix/routes.ts'
import { expectedOf, type Row, shapeOf, titleOf } from './matrix/row.ts'
import { createWorld, type Thing, type World } from './matrix/world.ts'

const rows = [...routes, ...upgrades]
const everybody = [...(Object.keys(expected) as (keyof typeof expected)[]), ...rightful]
const shapesOf = (of: readonly Row[]) => [...new Set(of.map(({ route }) => shapeOf(route)))].toSorted()

describe('every route and upgrade, for every kind of caller', { concurrency: false }, () => {
  let fresh: TestDatabase
  let world: World
  let callers: Callers
  let untouched: unknown
  const agent = new http.Agent({ keepAlive: true })

  before(async () => {
    fresh = await freshDatabase()
    world = await createWorld(fresh.url)
    callers = await createCallers(world)
    untouched = await world.snapshot()
  })
  after(async () => {
    agent.destroy()
    await world?.close()
    await fresh?.drop()
  })

  const thingFor = async (row: Row, caller: CallerName): Promise<Thing> => {
    if (row.at === 'shared') return world.shared
    if (frozenOut.has(caller)) return world.frozen
    if (rightful.some(name => name === caller)) return world.fresh()
    return welcome.has(caller) ? world.seen : world.alice
  }
  /** What is not there; for another owner, in the tenant that is also theirs. */
  const nothingFor = (caller: CallerName): Thing =>
    caller === 'another owner'
      ? { ...world.nothing, names: { ...world.nothing.names, tenant: world.alice.tenant } }
      : world.nothing

  /** What is wrong with a row's answer to a caller. */
  const faultsIn = async (row: Row, caller: CallerName): Promise<string[]> => {
    const { answer, own } = expectedOf(row, caller)
    const thing = await thingFor(row, caller)
    const got = await ask(world.url, row, thing, await callers[caller](row, thing), agent)
    const [status, code] = answer
    const faults: string[] = []
    if (got.status !== status || got.code !== (code ?? (got.code === 'page' ? 'page' : undefined)))
      faults.push(`is ${got.status} ${got.code ?? ''}, not ${status} ${code ?? ''}`)
    if (welcome.has(caller) || own) return faults
    if (got.status < 300 && !row.open)
      for (const name of ['runtime', 'hash', 'token', 'join'])
        if (got.text.includes(thing.names[name] ?? '')) faults.push(`tells the ${name} of somebody else`)
    if (!namesThing(row)) return faults
    const missing = await ask(world.url, row, nothingFor(caller), await callers[caller](row, thing), agent)
    if (missing.image !== got.image)
      faults.push(`differs from the answer for what does not exist:\n${got.image}\n--\n${missing.image}`)
    return faults
  }

  describe('the rows', () => {
    it('are all the routes that the app has, and no others', () => {
      // Routes are only registered here, not called: of the house they need no more than where it is.
      const app = createApp({ base: 'http://127.0.0.1', database: {} } as House, {} as Relay)
      const all = new Set(app.routes.map(({ method, path }) => `${method} ${path}`))
      const ends = [...all].filter(route => !middlewares.includes(route)).map(shapeOf)
      assert.deepEqual([...new Set(ends)].toSorted(), shapesOf(routes))
    })

    it('are all the upgrades that the edge takes, and no others', () => {
      const doors = Object.entries(socketPaths)
      const paths = doors.flatMap(([door, ends]) => ends.map(end => `/${door}/:ownerHash${end}`))
      const all = [...paths, sharedSocketPath].map(path => shapeOf(`WS ${path}`))
      assert.deepEqual(all.toSorted(), shapesOf(upgrades))
    })

    it('are open exactly where the API description asks for no token', async () => {
      const answer = await fetch(`${world.url}/openapi.json`)
      const { paths } = (await answer.json()) as { paths: Record<string, Record<string, { security?: unknown[] }>> }
      const described = Object.entries(paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, { security }]) => ({
          route: shapeOf(`${method.toUpperCase()} ${path}`),
          isOpen: !security?.length,
        })),
      )
      assert(described.length > 20, 'the API description has lost its routes')
      for (const { route, isOpen } of described) {
        const own = rows.filter(row => shapeOf(row.route) === route)
        assert(own.length > 0, `${route} has no row`)
        for (const row of own) assert.equal(row.open !== undefined, isOpen, route)
      }
    })

    it('let the rightful caller in, and give a reason for all that is not as in the table', () => {
      for (const row of rows) {
        assert(![401, 403, 404].includes(row.answer[0]), titleOf(row))
        for (const { why } of [row.open, ...Object.values(row.except ?? {})].filter(Boolean) as { why: string }[])
          assert(why.length > 10, titleOf(row))
      }
    })
  })

  for (const caller of everybody)
    it(`${caller} gets what the table says, everywhere`, async () => {
      const faults: string[] = []
      for (const row of rows) for (const fault of await faultsIn(row, caller)) faults.push(`${titleOf(row)} ${fault}`)
      assert.equal(faults.length, 0, `${faults.length} faults\n${faults.slice(0, 20).join('\n')}`)
    })

  it('an upgrade of a path that takes none opens nothing', async () => {
    const takesOne = (path: string) => {
      const edge = parseEdgeTarget(path)
      return path === sharedSocketPath || (edge !== undefined && takesSocket(edge.door, edge.rest))
    }
    const paths = new Set(routes.map(row => pathOf(row, world.seen)).filter(path => !takesOne(path)))
    assert(paths.size > 30)
    for (const path of paths) {
      const row: Row = { route: `WS ${path}`, scope: 'runtimes:connect', answer: [404, 'not-found'] }
      const shown = await callers['the rightful caller'](row, world.seen)
      const { status, code } = await ask(world.url, row, world.seen, shown, agent)
      assert.deepEqual([status, code], row.answer, titleOf(row))
    }
  })

  it("a token of one owner is no operator's, whatever its scopes", async () => {
    const { tenant } = world.frozen
    for (const [row, answer] of [
      [{ route: 'POST /v1/tokens', body: { scopes: ['tokens:write'], owner: 'bob', tenant } }, 403],
      [{ route: 'DELETE /v1/tokens/{token}', query: `tenant=${tenant}` }, 404],
    ] as const) {
      const asked: Row = { ...row, answer: [answer] }
      // Of the same name as its own owner, in another tenant.
      const thing = { ...world.frozen, names: { ...world.frozen.names, token: world.bobElsewhere } }
      const { status } = await ask(world.url, asked, thing, await callers['another owner'](asked, thing), agent)
      assert.equal(status, answer, row.route)
    }
  })

  it('no stranger has changed or used anything', async () => {
    assert.deepEqual(await world.snapshot(), untouched)
  })
})
