import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'
import { inOrder } from './asked.ts'

/** 3: what a client is told of a runtime never goes back. */
export const generations = ({ history, events }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const newest = new Map<string, number>()
  const rise = (id: string, generation: number, where: string) => {
    const before = newest.get(id) ?? 0
    if (generation < before)
      wrong.push({
        invariant: '3, generations',
        what: `${id} went from ${before} back to ${generation} in ${where}`,
        past: true,
      })
    newest.set(id, Math.max(before, generation))
  }
  for (const { runtime } of inOrder(history.entries)) if (runtime) rise(runtime.id, runtime.generation, 'answers')
  newest.clear()
  for (const { runtimeId, generation } of events) rise(runtimeId, generation, 'events')
  return wrong
}
