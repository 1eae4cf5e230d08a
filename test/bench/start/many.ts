import { median, spread } from '../simulation/figures.ts'
import type { Table } from '../table.ts'
import type { Running, Way } from './ways.ts'

/** How so many owners ask: one when the one before has its browser, or all at once. */
type Manner = 'one after another' | 'at once'

/** Seconds until the last had its browser, and until half had, of each round. */
type Seen = { count: number; way: Way; manner: Manner; all: number[]; waits: number[] }

/** Many owners want a browser: when the last has it, and what an owner waited for, counted from the first request. */
export const manyStarts = async (
  ways: readonly Way[],
  counts: readonly number[],
  rounds: number,
  signal: AbortSignal,
): Promise<Table> => {
  const seen: Seen[] = counts.flatMap(count =>
    mannersOf(ways).map(([way, manner]) => ({ count, way, manner, all: [], waits: [] })),
  )
  for (let round = 1; round <= rounds; round += 1)
    for (const { way, manner, count, all, waits } of seen) {
      signal.throwIfAborted()
      const waited = await crowd(way, manner, count)
      all.push(Math.max(...waited) / 1000)
      waits.push(median(waited) / 1000)
    }
  return {
    title: 'Many owners',
    note: `Seconds until the first answer of DevTools, from the first request. ${rounds} times each; all of them succeeded.`,
    columns: ['', 'the last, s', 'the median owner, s'],
    rows: seen.map(({ way, manner, count, all, waits }) => [
      `${count} ${manner}, ${way.name}`,
      spread(all),
      spread(waits),
    ]),
  }
}

const mannersOf = ([first, ...others]: readonly Way[]): [Way, Manner][] => [
  ...(first
    ? ([
        [first, 'one after another'],
        [first, 'at once'],
      ] as [Way, Manner][])
    : []),
  ...others.map((way): [Way, Manner] => [way, 'at once']),
]

/** @returns milliseconds from the first request until each had its browser */
const crowd = async (way: Way, manner: Manner, count: number): Promise<number[]> => {
  const owners = Array.from({ length: count }, (_, n) => `crowd-${n}`)
  const startedAt = performance.now()
  const one = async (owner: string) => {
    const running = await way.start(owner)
    return { running, ms: performance.now() - startedAt }
  }
  const got: { running: Running; ms: number }[] = []
  if (manner === 'at once') got.push(...(await Promise.all(owners.map(one))))
  else for (const owner of owners) got.push(await one(owner))
  await Promise.all(got.map(({ running }) => running.remove()))
  return got.map(({ ms }) => ms)
}
