import { spread } from '../simulation/figures.ts'
import type { Table } from '../table.ts'
import { timed, type Way } from './ways.ts'

/** A paused browser is asked for its DevTools: how long until they answer. */
export const resumes = async (ways: readonly Way[], rounds: number, signal: AbortSignal): Promise<Table> => {
  const rows: string[][] = []
  for (const way of ways) {
    const running = await way.start('sleeper')
    const took: number[] = []
    for (let round = 1; round <= rounds; round += 1) {
      signal.throwIfAborted()
      await running.pause()
      took.push((await timed(running.wake)).ms)
    }
    await running.remove()
    rows.push([way.name, spread(took, 0)])
  }
  return {
    title: 'From paused to the first answer of DevTools',
    note: `${rounds} times each. Porthole is asked for DevTools, and lets the browser go on because of that; the plain container is let go on by hand.`,
    columns: ['', 'p50 ms'],
    rows,
  }
}
