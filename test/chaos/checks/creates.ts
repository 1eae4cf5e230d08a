import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'
import { isCreate, isDelete, mayBeDone } from './asked.ts'

/** What was acknowledged happened, once. */
export const acknowledged = ({ history, runtimes }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const say = (what: string) => wrong.push({ invariant: 'acknowledged creates', what })
  const byId = new Map(runtimes.map(row => [row.id, row]))
  for (const [owner, entries] of Map.groupBy(history.entries, ({ owner }) => owner)) {
    let current: string | undefined
    let mayBeGone = true
    for (const entry of entries.toSorted((a, b) => a.at - b.at)) {
      if (isDelete(entry) && mayBeDone(entry)) mayBeGone = true
      if (!isCreate(entry) || entry.outcome !== 'ok' || !entry.runtime) continue
      const { id } = entry.runtime
      if (current !== undefined && id !== current && !mayBeGone)
        say(`${owner} had ${current}, deleted nothing, and was given ${id}`)
      if (byId.get(id)?.owner !== owner) say(`${owner} was given ${id}, which is ${byId.get(id)?.owner ?? 'nowhere'}`)
      current = id
      mayBeGone = false
    }
    const made = runtimes.filter(row => row.owner === owner).length
    const asked = entries.filter(isCreate).length
    if (made > asked) say(`${owner} asked ${asked} times and has ${made} rows`)
  }
  return wrong
}
