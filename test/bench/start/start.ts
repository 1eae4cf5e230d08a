import type { Bench, BenchOptions } from '../bench.ts'
import type { Table } from '../table.ts'
import { coldStarts } from './cold.ts'
import { manyStarts } from './many.ts'
import { idleMemory } from './memory.ts'
import { resumes } from './resume.ts'
import { warmStarts } from './warm.ts'
import { byHand, cold } from './ways.ts'
import { openStartWorld } from './world.ts'

/** Longer runs say more; short ones say whether it works. */
type Effort = {
  cold: number
  warm: number
  resumes: number
  many: { counts: number[]; rounds: number }
  idle: { count: number; settleMs: number }
}

const thorough: Effort = {
  cold: 20,
  warm: 40,
  resumes: 20,
  many: { counts: [8, 16], rounds: 3 },
  idle: { count: 4, settleMs: 15_000 },
}
const quick: Effort = {
  cold: 2,
  warm: 3,
  resumes: 3,
  many: { counts: [4], rounds: 1 },
  idle: { count: 1, settleMs: 3000 },
}

async function* measure({ quick: isQuick, only, tell, signal }: BenchOptions): AsyncGenerator<Table> {
  const effort = isQuick ? quick : thorough
  const isAsked = (name: string) => only?.includes(name) ?? true
  if (coldParts.some(isAsked)) yield* measureCold({ effort, isAsked, tell, signal })
  if (isAsked('warm')) {
    const world = await openStartWorld({ tell, signal, warm: 1 })
    try {
      tell('warm')
      yield await warmStarts(world, effort.warm, signal)
    } finally {
      await world.close()
    }
  }
}

const coldParts = ['cold', 'resume', 'many', 'memory']

type ColdOptions = Pick<BenchOptions, 'tell' | 'signal'> & { effort: Effort; isAsked(name: string): boolean }

/** Where no browser is started beforehand. */
async function* measureCold({ effort, isAsked, tell, signal }: ColdOptions): AsyncGenerator<Table> {
  const world = await openStartWorld({ tell, signal })
  try {
    // What is measured comes first, what it is compared with behind it.
    const ways = [cold(world), byHand(world, signal)]
    const parts: Record<string, () => Promise<Table[]>> = {
      cold: () => coldStarts(world, ways, effort.cold, signal),
      resume: async () => [await resumes(ways, effort.resumes, signal)],
      many: async () => [await manyStarts(ways, effort.many.counts, effort.many.rounds, signal)],
      memory: async () => [await idleMemory(world, ways, effort.idle, signal)],
    }
    for (const [name, part] of Object.entries(parts).filter(([name]) => isAsked(name))) {
      tell(name)
      yield* await part()
    }
  } finally {
    await world.close()
  }
}

/** How long it takes to get a browser, and what one costs. */
export const start: Bench = {
  name: 'start',
  what: 'browsers from nothing, from paused, many at once, and warm, beside plain containers; memory of idle ones',
  parts: [...coldParts, 'warm'],
  run: measure,
}
