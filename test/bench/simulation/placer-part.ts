import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Database, toRunning } from '@porthole/db'
import { collectTimes } from './figures.ts'
import { servePart } from './part.ts'
import { openPlacer, type Placer } from './placer.ts'

// One gateway's share of placing, in a process of its own with connections of its own: claim the owner, choose a host and
// reserve, and, as if the host had started it at once, running.

export type PlacerQuestion = {
  /** Of this process: owners begin with it. */
  name: string
  tenants: number
  /** So many at a time, each followed by the next; or so many a second, whatever comes of those before. */
  load: { atOnce: number } | { perSecond: number }
  /** Whichever comes first. */
  most: number
  seconds: number
  /** How often one is tried, a second apart; default once. A client would ask again, where the machine is overrun. */
  tries?: number
}

export type PlacerReport = {
  placed: number
  refused: number
  /** By what was thrown. */
  failed: Record<string, number>
  seconds: number
  p50: number
  p99: number
  worst: number
}

let database: Database | undefined
let placer: Placer | undefined

/** No more are begun while so many are under way: the machine is overrun, and the figure says so already. */
const mostUnderWay = 5000
const againMs = 1000

const work = async (question: PlacerQuestion): Promise<PlacerReport> => {
  const { name, tenants, load, most } = question
  if (!database || !placer) throw new Error('not opened yet')
  const { place } = placer
  const { db } = database
  const times = collectTimes()
  const failed: Record<string, number> = {}
  let refused = 0
  let placed = 0
  let worst = 0
  /** @param due when it should have begun: who waits in line for a slow one waits too */
  const one = async (n: number, due: number, triesLeft = (question.tries ?? 1) - 1): Promise<void> => {
    try {
      const row = await place(`${name}-${n}`, `t${n % tenants}`)
      if (row && (await toRunning(db, row))) placed += 1
      else refused += 1
      const ms = performance.now() - due
      worst = Math.max(worst, ms)
      times.add(ms)
    } catch (error) {
      if (triesLeft > 0) return sleep(againMs).then(() => one(n, due, triesLeft - 1))
      const what = error instanceof Error ? error.message.slice(0, 80) : String(error)
      failed[what] = (failed[what] ?? 0) + 1
    }
  }
  const startedAt = performance.now()
  const elapsed = () => (performance.now() - startedAt) / 1000
  if ('atOnce' in load) {
    let next = 0
    const loop = async () => {
      for (let n = next++; n < most && elapsed() < question.seconds; n = next++) await one(n, performance.now())
    }
    await Promise.all(Array.from({ length: load.atOnce }, loop))
  } else {
    const underWay = new Set<Promise<void>>()
    const count = Math.min(most, question.seconds * load.perSecond)
    for (let n = 0; n < count; ) {
      for (; n < Math.min(count, elapsed() * load.perSecond); n += 1) {
        const mine: Promise<void> = one(n, startedAt + (n / load.perSecond) * 1000).finally(() => underWay.delete(mine))
        underWay.add(mine)
      }
      if (underWay.size >= mostUnderWay) await Promise.race(underWay)
      else await sleep(1)
    }
    await Promise.all(underWay)
  }
  return { placed, refused, failed, seconds: elapsed(), p50: times.quantile(0.5), p99: times.quantile(0.99), worst }
}

const close = async () => {
  await placer?.close()
  await database?.close(1)
  placer = undefined
  database = undefined
}

servePart(
  {
    /** @param url of the database */
    open: async (url: string) => {
      database = connect(url, { max: 20 })
      placer = await openPlacer(database)
    },
    work,
    close,
  },
  close,
)
