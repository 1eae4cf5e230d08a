import { chromium } from 'playwright-core'
import { collectTimes, median, spread } from '../simulation/figures.ts'
import type { Table } from '../table.ts'
import { timed } from './ways.ts'
import type { StartWorld } from './world.ts'

const page = 'data:text/html,<title>Here</title>'

/** Opens a page over DevTools and reads its title, as an agent would. */
const visit = async ({ devTools }: StartWorld, ownerHash: string): Promise<void> => {
  const { url, headers } = devTools(ownerHash)
  const browser = await chromium.connectOverCDP(url, { headers })
  try {
    const context = browser.contexts()[0] ?? (await browser.newContext())
    const tab = context.pages()[0] ?? (await context.newPage())
    await tab.goto(page)
    if ((await tab.title()) !== 'Here') throw new Error('a page has another title than it has')
  } finally {
    await browser.close()
  }
}

/** New owners, each after a browser has become warm for them. */
export const warmStarts = async (world: StartWorld, rounds: number, signal: AbortSignal): Promise<Table> => {
  const { client, untilWarm } = world
  const seen = { ready: [] as number[], answered: [] as number[], life: [] as number[], claim: [] as number[] }
  // What is compiled and connected with the first is there for the others.
  for (let round = -2; round < rounds; round += 1) {
    signal.throwIfAborted()
    await untilWarm(1)
    const { ms: ready, result: first } = await timed(() => client.ensure(`warm-${round}`))
    const { ms: answer } = await timed(() => client.firstAnswer(first))
    const { claim } = await client.stepsOf(first)
    if (claim === undefined) throw new Error('it was not given a warm browser')
    await client.remove(first)
    await untilWarm(1)
    const { ms: life } = await timed(async () => {
      const whole = await client.ensure(`life-${round}`)
      await visit(world, whole.ownerHash)
      await client.remove(whole)
    })
    if (round < 0) continue
    seen.ready.push(ready)
    seen.answered.push(ready + answer)
    seen.claim.push(claim)
    seen.life.push(life)
  }
  const row = (what: string, values: number[]) => {
    const times = collectTimes()
    for (const value of values) times.add(value)
    return [what, median(values).toFixed(0), times.quantile(0.99).toFixed(0), spread(values, 0)]
  }
  return {
    title: 'A new owner, and a warm browser for them',
    note: `${rounds} owners, one after the other, each once a browser is warm. The claim is what the host takes: volume, settings, name.`,
    columns: ['milliseconds', 'p50', 'p99', 'least and most'],
    rows: [
      row('claimed on its host', seen.claim),
      row('ready', seen.ready),
      row('first answer of DevTools', seen.answered),
      row('create, connect, open a page, read its title, delete', seen.life),
    ],
  }
}
