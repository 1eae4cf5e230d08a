import { createRandom } from './seed.ts'

/** What an owner's client does, one after the other. `create again` sends it twice with one key. */
export const operations = [
  'create',
  'create twice',
  'create again',
  'delete',
  'delete with profile',
  'pause',
  'resume',
  'stop',
  'start',
  'drive',
  'watch',
  'list',
  'spy',
] as const
export type Operation = (typeof operations)[number]

export type Step = {
  /** Milliseconds after the beginning, at the earliest. */
  at: number
  operation: Operation
  /** In [0, 1): chooses the gateway that is asked. */
  door: number
}

export type Strike = {
  at: number
  fault: string
  /** Milliseconds until it is mended. */
  for: number
  /** Chooses the target. */
  seed: number
}

/** Everything that happens in a schedule, but for what the machine makes of it. */
export type Plan = { seed: number; owners: { name: string; steps: Step[] }[]; strikes: Strike[]; ms: number }

export type PlanOptions = { seed: number; seconds: number; owners: number; faults: readonly string[] }

/** How often each is chosen, against the others. A life begins with a create and is mostly use. */
const weights: Record<Operation, number> = {
  create: 6,
  'create twice': 3,
  'create again': 2,
  delete: 2,
  'delete with profile': 1,
  pause: 2,
  resume: 2,
  stop: 1.5,
  start: 1.5,
  drive: 4,
  watch: 4,
  list: 1,
  spy: 1,
}
const gapMs = { least: 200, most: 3500 }
const strikeMs = { least: 500, most: 8000 }
const strikeGapMs = { least: 1500, most: 6000 }
/** Until the first owners have their browsers. */
const beforeFirstMs = 8000
/** What is to be compared with how it was before comes first, each with nothing else under way. */
const aloneFirst: readonly string[] = ['kill a gateway', 'kill an agent', 'kill Postgres']
const aloneMs = { least: 500, most: 3000 }
/** Milliseconds for what was killed to answer again. */
const aloneForMs = 3000
/** So many faults at once, at most. */
export const atOnce = 2

const between = ({ least, most }: { least: number; most: number }, random: () => number) =>
  Math.round(least + random() * (most - least))

/** What the first owner does, who wants its browser to stay: whatever ends it has to be somebody's fault. */
const staying = ['create', 'create twice', 'drive', 'watch', 'list', 'spy'] as const

/** It begins with a view that is opened again soon when a restart has closed it, so that there is one to look at. */
const watching = ['create', 'watch', 'watch', 'drive', 'watch', 'watch', 'drive', 'watch', 'watch', 'watch'] as const

const chooseBy = (random: () => number, among: readonly Operation[]): Operation => {
  let left = random() * among.reduce((sum, operation) => sum + weights[operation], 0)
  for (const operation of among) {
    left -= weights[operation]
    if (left < 0) return operation
  }
  return 'create'
}

const inSeconds = (ms: number) => (ms / 1000).toFixed(1)

/** A plan in a few lines. */
export const tellPlan = ({ seed, ms, owners, strikes }: Plan): string =>
  [
    `seed ${seed}, ${inSeconds(ms)} s`,
    ...owners.map(
      ({ name, steps }) => `${name}: ${steps.map(({ at, operation }) => `${inSeconds(at)} ${operation}`).join(', ')}`,
    ),
    `faults: ${strikes.map(strike => `${inSeconds(strike.at)} ${strike.fault} for ${inSeconds(strike.for)}`).join(', ')}`,
  ].join('\n')

/** The same plan for the same options. */
export const planOf = ({ seed, seconds, owners, faults }: PlanOptions): Plan => {
  const random = createRandom(seed)
  const ms = seconds * 1000
  return {
    seed,
    ms,
    owners: Array.from({ length: owners }, (_, n) => {
      const steps: Step[] = []
      const beginning: readonly Operation[] = n === 0 ? watching : ['create']
      for (let at = between(gapMs, random); at < ms; at += between(gapMs, random))
        steps.push({
          at,
          operation: beginning[steps.length] ?? chooseBy(random, n === 0 ? staying : operations),
          door: random(),
        })
      return { name: `s${seed}-o${n + 1}`, steps }
    }),
    strikes: planStrikes(ms, faults, random),
  }
}

const planStrikes = (ms: number, faults: readonly string[], random: () => number): Strike[] => {
  const strikes: Strike[] = []
  const first = aloneFirst.filter(fault => faults.includes(fault))
  // Each once, in an order of its own, before any comes again.
  let left = faults.filter(fault => !first.includes(fault))
  let quietUntil = beforeFirstMs
  for (let at = 0; at < ms * 0.85; at += between(strikeGapMs, random)) {
    at = Math.max(at, quietUntil)
    const under = strikes.filter(strike => strike.at + strike.for > at)
    const length = between(first.length > 0 ? aloneMs : strikeMs, random)
    const seed = Math.floor(random() * 2 ** 32)
    if (first.length === 0 && left.length === 0) left = [...faults]
    const queue = first.length > 0 ? first : left
    const [fault] = queue.splice(Math.floor(random() * queue.length), 1)
    if (fault === undefined) break
    if (under.length < atOnce && !under.some(strike => strike.fault === fault)) {
      strikes.push({ at, fault, for: length, seed })
      if (queue === first) quietUntil = at + length + aloneForMs
    } else queue.push(fault)
  }
  return strikes
}
