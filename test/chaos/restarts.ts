import { ownerHashOf } from '../../gateway/src/identity/owner.ts'
import type { Lab } from '../lab/kit.ts'
import type { Held } from './client.ts'
import { startedContainers } from './gather.ts'
import { harmless, unseen } from './harmless.ts'
import type { History } from './history.ts'
import type { Strike } from './plan.ts'

/** Milliseconds for which the end of a call, or of a fault, may still have its effects. */
const settleMs = 3000

export type Watching = {
  lab: Pick<Lab, 'hosts' | 'names'>
  history: History
  /** Milliseconds since the beginning. */
  now(): number
  owners: readonly { name: string; client: { busySince(): number | undefined; held(): Held | undefined } }[]
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
  if (!harmless.has(fault)) return nothing
  const before = await startedContainers(lab)
  const from = now()
  const views = owners.flatMap(({ client }) => client.held() ?? [])
  // Two faults at once may well end a runtime together.
  const isAlone = () =>
    !history.strikes.some(other => other.fault !== fault && other.mendedAt + other.recoveryMs > from)
  const isIdle = (owner: string) =>
    !owners.some(({ name, client }) => name === owner && client.busySince() !== undefined) &&
    !history.entries.some(entry => entry.owner === owner && entry.at + entry.ms > from - settleMs)
  return async () => {
    const after = await startedContainers(lab)
    const alive = await Promise.all(views.map(view => view.isAlive()))
    const seen: Compared = { wrong: [], containers: 0, views: 0 }
    if (!isAlone()) return seen
    for (const { name } of owners.filter(({ name }) => isIdle(name))) {
      const container = `${lab.names.containerPrefix}${ownerHashOf('default', 'docker-per-principal', name)}`
      const [was, is] = [before.get(container), after.get(container)]
      if (!was) continue
      seen.containers += 1
      if (was.id !== is?.id || was.startedAt !== is.startedAt)
        seen.wrong.push(`${container} was ${is ? 'started anew' : 'stopped'}`)
    }
    if (!unseen.has(fault)) return seen
    for (const [n, { owner }] of views.entries()) {
      if (!isIdle(owner)) continue
      seen.views += 1
      if (!alive[n]) seen.wrong.push(`the view of ${owner} was closed`)
    }
    return seen
  }
}
