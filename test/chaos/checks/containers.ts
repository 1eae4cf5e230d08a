import type { RuntimeRow } from '@porthole/db'
import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'

const isOwn = ({ containerPrefix }: Evidence['names'], hash: string, name: string) =>
  name === `${containerPrefix}${hash}`

const invariant = '1, one runtime an owner'

/** 1: one live runtime an owner, at any time. */
export const liveTwice = (runtimes: readonly RuntimeRow[]): Violation[] => {
  const live = Map.groupBy(
    runtimes.filter(({ state }) => state !== 'deleted'),
    ({ tenant, mode, owner }) => `${tenant} ${mode} ${owner}`,
  )
  return [...live]
    .filter(([, rows]) => rows.length > 1)
    .map(([owner, rows]) => ({ invariant, what: `${owner} has ${rows.map(({ id }) => id).join(', ')}` }))
}

/** 1: one live runtime an owner, and for each that runs, one container, where the row says. */
export const oneEach = ({ runtimes, engines, names }: Evidence): Violation[] => {
  const wrong = liveTwice(runtimes)
  const say = (what: string) => wrong.push({ invariant, what })
  const byId = new Map(runtimes.map(row => [row.id, row]))
  const all = engines.flatMap(({ host, containers }) => containers.map(container => ({ host, ...container })))
  for (const [name, same] of Map.groupBy(all, ({ name }) => name))
    if (same.length > 1) say(`${name} is on ${same.map(({ host }) => host).join(' and ')}`)
  for (const { host, name, runtime, generation, state } of all) {
    const row = byId.get(runtime)
    if (!row) say(`${name} on ${host} belongs to ${runtime || 'nobody'}, which there is no row of`)
    else if (row.hostId !== host) say(`${name} is on ${host}, its row says ${row.hostId}`)
    else if (!row.reserved) say(`${name} on ${host} is ${state}, its row holds nothing there: ${row.state}`)
    else if (row.generation !== generation) say(`${name} on ${host} is of ${generation}, its row of ${row.generation}`)
  }
  for (const row of runtimes.filter(({ state }) => state === 'running' || state === 'paused')) {
    const own = all.find(({ host, name }) => host === row.hostId && isOwn(names, row.ownerHash, name))
    if (!own) say(`${row.id} is ${row.state}, and has no container on ${row.hostId}`)
    else if (own.state !== row.state) say(`${row.id} is ${row.state}, its container is ${own.state}`)
  }
  return wrong
}
