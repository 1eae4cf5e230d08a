import type { Bench, BenchOptions } from '../bench.ts'
import { cpuOf, cpuWithChildren } from '../cpu.ts'
import { median, spread } from '../simulation/figures.ts'
import type { Table } from '../table.ts'
import { collectGarbage } from './garbage.ts'
import { loadHttp } from './program.ts'
import { type EdgeWorld, memoryOf, openEdgeWorld, otherCore, type Way } from './world.ts'

/** Longer runs say more; short ones say whether it works. */
type Effort = {
  repeats: number
  seconds: number
  /** Of load before anything counts: what is compiled while it runs takes three times as long until it is. */
  warmUpSeconds: number
  /** Of load before each turn counts: a process that had none for a while has put much away. */
  leadSeconds: number
  idle: number
}

const thorough: Effort = { repeats: 3, seconds: 5, warmUpSeconds: 10, leadSeconds: 3, idle: 5000 }
const quick: Effort = { repeats: 1, seconds: 1, warmUpSeconds: 1, leadSeconds: 1, idle: 500 }

type Figure = { perSecond: number; p99?: number }
type Load = (way: Way, seconds: number) => Promise<Figure>

type Part = {
  name: string
  title: string
  unit: string
  /** What is cheap or dear. */
  each: string
  through: keyof Way['proxies']
  load(world: EdgeWorld): Load
}

const parts: readonly Part[] = [
  {
    name: 'http',
    title: 'HTTP GET of 1 KiB, 64 kept-alive connections',
    unit: 'requests/s',
    each: 'request',
    through: 'http',
    load:
      ({ wrk }) =>
      ({ http }, seconds) =>
        loadHttp(wrk, http, { connections: 64, seconds, core: otherCore }),
  },
  {
    name: 'messages',
    title: 'WebSocket, round trips of 64 bytes, 50 connections',
    unit: 'round trips/s',
    each: 'round trip',
    through: 'sockets',
    load:
      ({ clients }) =>
      ({ echo }, seconds) =>
        clients.ask('roundTrips', { target: echo, connections: 50, seconds }),
  },
  {
    name: 'bytes',
    title: 'WebSocket, 64 KiB frames to 20 clients',
    unit: 'MB/s',
    each: 'MB',
    through: 'sockets',
    load:
      ({ clients }) =>
      ({ flood }, seconds) =>
        clients.ask('flood', { target: flood, connections: 20, seconds }),
  },
]

async function* measure({ quick: isQuick, only, tell, signal }: BenchOptions): AsyncGenerator<Table> {
  const effort = isQuick ? quick : thorough
  const isAsked = (name: string) => only?.includes(name) ?? true
  tell('starting what is measured')
  const world = await openEdgeWorld()
  try {
    // First: what other loads have left in a process would make room for the views.
    if (isAsked('idle')) {
      tell('idle')
      yield await idleViews(world, effort.idle)
    }
    for (const part of parts.filter(({ name }) => isAsked(name))) {
      tell(part.name)
      yield await compare(world, part, effort, signal)
    }
    if (isAsked('gateways')) {
      tell('gateways')
      yield await twoGateways(world, effort, signal)
    }
  } finally {
    await world.close()
  }
}

/** What goes through the edge, beside what it would be with others. */
export const edge: Bench = {
  name: 'edge',
  what: 'requests, sockets and idle views through the edge, beside nginx and http-proxy, one core for what is measured',
  parts: [...parts.map(({ name }) => name), 'idle', 'gateways'],
  run: measure,
}

/**
 * Interleaved, so that what else the machine does falls on all alike. Ratios are to the nginx of as many hops: of the rates,
 * and of the CPU that every proxy on the way has used, which does not depend on how much of the machine there was.
 */
const compare = async (
  world: EdgeWorld,
  { title, unit, each, through, load: loadOf }: Part,
  { repeats, seconds, warmUpSeconds, leadSeconds }: Effort,
  signal: AbortSignal,
): Promise<Table> => {
  const load = loadOf(world)
  const figures = new Map<Way, (Figure & { cost: number })[]>(world.ways.map(way => [way, []]))
  for (const way of figures.keys()) {
    signal.throwIfAborted()
    await load(way, warmUpSeconds)
  }
  const costOf = (way: Way) => way.proxies[through].reduce((sum, pid) => sum + cpuWithChildren(pid), 0)
  for (let round = 0; round < repeats; round += 1)
    for (const [way, seen] of figures) {
      signal.throwIfAborted()
      await load(way, leadSeconds)
      const [startedAt, before] = [performance.now(), costOf(way)]
      const figure = await load(way, seconds)
      const took = (performance.now() - startedAt) / 1000
      seen.push({ ...figure, cost: (1e6 * (costOf(way) - before)) / (figure.perSecond * took) })
    }
  const middle = (way: Way | undefined, of: 'perSecond' | 'cost') =>
    median((way && figures.get(way)?.map(figure => figure[of])) ?? [])
  const peer = ({ hops }: Way) => world.ways.find(way => way.hops === hops && way.name.startsWith('nginx'))
  const all = (seen: Figure[]) =>
    spread(
      seen.map(({ perSecond }) => perSecond),
      0,
    )
  return {
    title,
    columns: ['', unit, 'of nginx', 'p99 ms', `µs of CPU a ${each}`, 'of nginx, by CPU'],
    rows: [...figures].map(([way, seen]) => [
      way.name,
      all(seen),
      way.hops === 0 ? '' : (middle(way, 'perSecond') / middle(peer(way), 'perSecond')).toFixed(2),
      seen.every(({ p99 }) => p99 === undefined) ? '' : median(seen.map(({ p99 }) => p99 ?? Number.NaN)).toFixed(1),
      way.hops === 0
        ? ''
        : spread(
            seen.map(({ cost }) => cost),
            0,
          ),
      way.hops === 0 ? '' : (middle(peer(way), 'cost') / middle(way, 'cost')).toFixed(2),
    ]),
  }
}

/** Memory is what the process has grown by, all of it: the kernel's buffers for its sockets are not in it. */
const idleViews = async ({ ways, clients }: EdgeWorld, connections: number): Promise<Table> => {
  const rows: string[][] = []
  for (const way of ways.filter(({ hops }) => hops > 0)) {
    await collectGarbage(way.pid)
    const before = memoryOf(way.pid)
    const each = () => ((memoryOf(way.pid) - before) / connections / 1024).toFixed(1)
    await clients.ask('idle', { target: way.echo, connections })
    const grown = each()
    await collectGarbage(way.pid)
    const held = each()
    const { p50, p99 } = await clients.ask<{ p50: number; p99: number }>('pingIdle', { count: 2000 })
    await clients.ask('endIdle')
    rows.push([way.name, held, grown, p50.toFixed(2), p99.toFixed(2)])
  }
  return {
    title: `${connections} open views that say nothing`,
    note: 'Memory of one process that had done nothing before, of two hops the outer nginx, and the agent (the gateway before it is the row above): what it holds once it has collected its garbage, as it does when it has to, and what it has taken before that.',
    columns: ['', 'KiB each', 'with garbage', 'round trip p50 ms', 'p99 ms'],
    rows,
  }
}

/**
 * One gateway by itself, and two at once, by what a request costs each: on two cores there is none left for load and upstream,
 * so the requests that they take together would say what those use.
 */
const twoGateways = async (
  { ways, second, wrk }: EdgeWorld,
  { repeats, seconds, warmUpSeconds }: Effort,
  signal: AbortSignal,
): Promise<Table> => {
  const first = ways.find(({ name }) => name === 'gateway')
  if (!first) throw new Error('there is no gateway to measure')
  for (const { http } of [first, second])
    await loadHttp(wrk, http, { connections: 64, seconds: warmUpSeconds, core: otherCore })
  const costs = async (at: readonly Way[]) => {
    signal.throwIfAborted()
    const before = at.map(({ pid }) => cpuOf(pid))
    const taken = await Promise.all(
      at.map(({ http }) => loadHttp(wrk, http, { connections: 64, seconds, core: otherCore })),
    )
    return at.map(({ pid }, n) => (1e6 * (cpuOf(pid) - (before[n] ?? 0))) / ((taken[n]?.perSecond ?? 0) * seconds))
  }
  const alone: number[] = []
  const both: number[] = []
  for (let round = 0; round < repeats; round += 1) {
    alone.push(...(await costs([first])))
    both.push(...(await costs([first, second])))
  }
  return {
    title: 'Two gateways, HTTP GET of 1 KiB',
    note: 'The second shares its core with load, upstream and Postgres. "Times one" is what two whole cores would take by these costs; what waits for something costs nothing, so it would not show here.',
    columns: ['', 'µs of CPU for a request', 'times one'],
    rows: [
      ['one', spread(alone, 0), ''],
      ['each of two', spread(both, 0), ((2 * median(alone)) / median(both)).toFixed(2)],
    ],
  }
}
