import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'
import { isDelete, mayBeDone, mayStart } from './asked.ts'

/** 4: nothing is deleted that nobody asked to delete. Of earlier schedules' owners is not known what they asked. */
export const deletedByNobody = ({ history: { entries }, runtimes }: Evidence): Violation[] =>
  runtimes
    .filter(({ state, owner }) => state === 'deleted' && entries.some(entry => entry.owner === owner))
    .filter(({ id }) => !entries.some(entry => isDelete(entry) && mayBeDone(entry) && entry.asked === id))
    .map(({ id }) => ({ invariant: '4, deletes', what: `${id} is deleted, and nobody asked for that` }))

/** 4: what was said to be deleted is. */
export const deletes = ({ history, runtimes, engines, names }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const byId = new Map(runtimes.map(row => [row.id, row]))
  for (const entry of history.entries.filter(entry => isDelete(entry) && entry.outcome === 'ok')) {
    const id = entry.runtime?.id ?? ''
    const row = byId.get(id)
    const say = (what: string) => wrong.push({ invariant: '4, deletes', what: `${id} was deleted, and ${what}` })
    if (!row) say('its row is gone')
    else if (row.state !== 'deleted' || row.reserved) say(`is ${row.state}${row.reserved ? ' with its room held' : ''}`)
    for (const { host, containers } of engines)
      for (const container of containers) if (container.runtime === id) say(`${container.name} is on ${host}`)
    const later = history.entries.some(other => other.owner === entry.owner && other.at >= entry.at && mayStart(other))
    if (entry.operation !== 'delete with profile' || later || !row) continue
    for (const { host, volumes } of engines)
      if (volumes.includes(`${names.volumePrefix}${row.ownerHash}`)) say(`its volume is on ${host}`)
  }
  return wrong
}
