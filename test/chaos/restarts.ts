import { ownerHashOf } from '../../gateway/src/identity/owner.ts'
import type { Lab } from '../lab/kit.ts'
import type { Held } from './client.ts'
import { startedContainers } from './gather.ts'
import { closesNoView, endsRuntimes } from './harmless.ts'
import type { Entry, History } from './history.ts'
import type { Operation, Strike } from './plan.ts'

/** Milliseconds for which the end of a call, or of a fault, may still have its effects. */
const settleMs = 3000
/** For which an end that was asked for, and not said to be done, may still come: another gateway takes it over. */
const takeOverMs = 90_000

/** What may end a runtime, or freeze it, when its owner asks for it. */
const ending: ReadonlySet<Operation> = new Set(['pause', 'resume', 'stop', 'start', 'delete', 'delete with profile'])

/** Whether what its owner asked for may be why something has changed after a time. */
export const mayBeAsked = ({ operation, at, ms, outcome, status }: Entry, since: number): boolean => {
  const isOpen = outcome === 'unknown' || status === 202
  return ending.has(operation) && at + ms > since - (isOpen ? takeOverMs : settleMs)
}

export type Watching = {
  lab: Pick<Lab, 'hosts' | 'names'>
  history: History
  /** Milliseconds since the beginning. */
  now(): number
  owners: readonly { name: string; client: { doing(): Operation | undefined; held(): Held | undefined } }[]
}

export type Compared = {
  wrong: string[]
  /** How many there were to compare. */
  containers: number
  views: number
}

const nothing = async (): Promise<Compared> => ({ wrong: [], containers: 0, views: 0 })

/**
 * What a fault that ends nothing must leave as it is: containers, and views where it closes none, of owners that ask for
 * nothing meanwhile. Looks; the function it gives looks again, and says what has changed.
 */
export const watchRestart = async (
  { fault }: Strike,
  { lab, history, now, owners }: Watching,
): Promise<() => Promise<Compared>> => {
  if (endsRuntimes.has(fault)) return nothing
  const before = await startedContainers(lab)
  const from = now()
  const views = owners.flatMap(({ client }) => client.held() ?? [])
  const struckSince = () =>
    history.strikes.filter(({ mendedAt, recoveryMs }) => mendedAt + recoveryMs + settleMs > from)
  const wasAsked = (owner: string) =>
    owners.some(({ name, client }) => name === owner && ending.has(client.doing() ?? 'list')) ||
    history.entries.some(entry => entry.owner === owner && mayBeAsked(entry, from))
  return async () => {
    const after = await startedContainers(lab)
    const alive = await Promise.all(views.map(view => view.isAlive()))
    const seen: Compared = { wrong: [], containers: 0, views: 0 }
    if (struckSince().some(other => endsRuntimes.has(other.fault))) return seen
    for (const { name } of owners.filter(({ name }) => !wasAsked(name))) {
      const container = `${lab.names.containerPrefix}${ownerHashOf('default', 'docker-per-principal', name)}`
      const [was, is] = [before.get(container), after.get(container)]
      if (!was) continue
      seen.containers += 1
      if (was.id !== is?.id || was.startedAt !== is.startedAt)
        seen.wrong.push(`${container} was ${is ? 'started anew' : 'stopped'}`)
    }
    if (!struckSince().every(other => closesNoView.has(other.fault))) return seen
    for (const [n, { owner }] of views.entries()) {
      if (wasAsked(owner)) continue
      seen.views += 1
      if (!alive[n]) seen.wrong.push(`the view of ${owner} was closed`)
    }
    return seen
  }
}
