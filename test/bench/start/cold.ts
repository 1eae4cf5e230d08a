import { median, spread } from '../simulation/figures.ts'
import type { Table } from '../table.ts'
import { usageOf } from './usage.ts'
import { timed, type Way } from './ways.ts'
import type { StartWorld } from './world.ts'

/** In the order in which they come; the first is the gateway's, those behind `start` are the container's own. */
const stepOrder = [
  ...['placement', 'turn', 'prepare', 'volume', 'create', 'start', 'boot', 'display', 'browser', 'answer'],
]

const meaning: Readonly<Record<string, string>> = {
  placement: 'a host is chosen, its room reserved',
  turn: 'waiting for other starts on the host',
  prepare: 'image and network are there',
  volume: 'the profile volume is made',
  create: 'the engine makes the container',
  start: 'the engine starts it',
  boot: 'Node loads the runtime',
  display: 'X server takes connections',
  browser: 'Chromium opens its DevTools',
  answer: 'the rest, until DevTools answer',
}

/** The value that `share` of the values do not exceed. */
const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(share * values.length) - 1)] ?? Number.NaN

type Seen = { way: Way; ms: number[]; cpu: number[] }

/** One browser after the other, ways taking turns, so that what else the machine does falls on all alike. */
export const coldStarts = async (
  world: StartWorld,
  ways: readonly Way[],
  rounds: number,
  signal: AbortSignal,
): Promise<Table[]> => {
  const seen: Seen[] = ways.map(way => ({ way, ms: [], cpu: [] }))
  const steps: Record<string, number>[] = []
  // The first of each reads from the disk what the others find in memory.
  for (const { way } of seen) await (await way.start('warm')).remove()
  for (let round = 1; round <= rounds; round += 1)
    for (const { way, ms, cpu } of seen) {
      signal.throwIfAborted()
      const { ms: took, result: running } = await timed(() => way.start(`cold-${round}`))
      ms.push(took)
      cpu.push((await usageOf(world.docker, running.container)).cpu)
      if (running.steps) steps.push({ ...(await running.steps()), whole: took })
      await running.remove()
    }
  return [comparison(seen, rounds), stepTable(steps)]
}

const comparison = (seen: readonly Seen[], rounds: number): Table => {
  const first = median(seen[0]?.ms ?? [])
  return {
    title: 'From the request to the first answer of DevTools',
    note: `One at a time, ${rounds} of each, taking turns. CPU is the container's own until then.`,
    columns: ['', 'p50 ms', 'p95 ms', 'times the first', 'CPU s'],
    rows: seen.map(({ way, ms, cpu }, n) => [
      way.name,
      spread(ms, 0),
      quantile(ms, 0.95).toFixed(0),
      n === 0 ? '' : (median(ms) / first).toFixed(2),
      spread(cpu, 2),
    ]),
  }
}

const stepTable = (starts: readonly Record<string, number>[]): Table => {
  const told = stepOrder.filter(step => starts.some(start => start[step] !== undefined))
  const rest = starts.map(({ whole = 0, ...start }) => told.reduce((left, step) => left - (start[step] ?? 0), whole))
  return {
    title: "Steps of Porthole's cold start",
    note: 'As the event of the move to running tells them (`steps`), and what is left of the time above.',
    columns: ['step', 'ms', 'what it is'],
    rows: [
      ...told.map(step => [
        step,
        spread(
          starts.map(start => start[step] ?? 0),
          0,
        ),
        meaning[step] ?? '',
      ]),
      ['', spread(rest, 0), 'API, database, commands to the host, and the first request to DevTools'],
    ],
  }
}
