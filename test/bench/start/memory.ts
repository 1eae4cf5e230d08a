import { setTimeout as sleep } from 'node:timers/promises'
import { median, spread } from '../simulation/figures.ts'
import type { Table } from '../table.ts'
import { pssOf, usageOf } from './usage.ts'
import type { Running, Way } from './ways.ts'
import type { StartWorld } from './world.ts'

const mebi = 2 ** 20
/** What a host has, and what its agent keeps for itself by default. */
const hostMebis = 24 * 1024
const keptMebis = 1024

/** What idle browsers use, `count` of each kind at a time, `settleMs` after their start. */
export const idleMemory = async (
  { docker }: StartWorld,
  ways: readonly Way[],
  { count, settleMs }: { count: number; settleMs: number },
  signal: AbortSignal,
): Promise<Table> => {
  const rows: string[][] = []
  for (const way of ways) {
    const running: Running[] = []
    for (let n = 1; n <= count; n += 1) running.push(await way.start(`idle-${n}`))
    const usages = () => Promise.all(running.map(({ container }) => usageOf(docker, container)))
    // Nothing tells when Chromium has done what it does after its start.
    await sleep(settleMs, undefined, { signal })
    const before = await usages()
    await sleep(settleMs, undefined, { signal })
    const after = await usages()
    const byPss: number[] = []
    for (const { container } of running) byPss.push(((await pssOf(docker, container)) ?? Number.NaN) / mebi)
    await Promise.all(running.map(one => one.remove()))
    const byLimit = after.map(({ memory }) => memory / mebi)
    const busy = after.map(({ cpu }, n) => (100_000 * (cpu - (before[n]?.cpu ?? 0))) / settleMs)
    const isKnown = !byPss.some(Number.isNaN)
    const each = Math.max(median(byLimit), isKnown ? median(byPss) : 0)
    rows.push([
      way.name,
      spread(byLimit, 0),
      isKnown ? spread(byPss, 0) : 'not known',
      spread(busy),
      Math.floor((hostMebis - keptMebis) / each).toFixed(0),
    ])
  }
  return {
    title: 'An idle browser',
    note: `At about:blank, ${count} at a time, ${settleMs / 1000} s after the start. The last column is for 24 GiB less the one that an agent keeps, by the larger of both figures.`,
    columns: ['', 'MiB by its limit', 'MiB by PSS', '% of a core', 'on a 24 GiB host'],
    rows,
  }
}
