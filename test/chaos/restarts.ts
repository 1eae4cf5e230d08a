import { ownerHashOf } from '../../gateway/src/identity/owner.ts'
import type { Lab } from '../lab/kit.ts'
import type { Held } from './client.ts'
import { startedContainers } from './gather.ts'
import { mayClose, mayEnd } from './harmless.ts'
import type { Entry, History } from './history.ts'
import type { Operation } from './plan.ts'

/** Milliseconds for which the end of a call, or of a fault, may still have its effects. */
const settleMs = 3000
/** For which an end that was asked for, and not said to be done, may still come: another gateway takes it over. */
const takeOverMs = 90_000

/** Within which a view that is alive answers. */
const promptMs = 2000

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

/**
 * What a fault must leave as it is, and all others that are struck meanwhile: containers that none of them may end, and
 * views that none of them may close, of owners that ask for nothing. Looks; the function it gives looks again, and says what has changed.
 */
export const watchRestart = async ({ lab, history, now, owners }: Watching): Promise<() => Promise<Compared>> => {
  const before = await startedContainers(lab)
  const from = now()
  const held = owners.flatMap(({ client }) => client.held() ?? [])
  // One that another fault has cut looks open for long.
  const answers = await Promise.all(held.map(view => view.isAlive(promptMs)))
  const views = held.filter((_, n) => answers[n])
  const struckSince = () =>
    history.strikes.filter(({ mendedAt, recoveryMs }) => mendedAt + recoveryMs + settleMs > from)
  const containerOf = (owner: string) =>
    `${lab.names.containerPrefix}${ownerHashOf('default', 'docker-per-principal', owner)}`
  const wasAsked = (owner: string) =>
    owners.some(({ name, client }) => name === owner && ending.has(client.doing() ?? 'list')) ||
    history.entries.some(entry => entry.owner === owner && mayBeAsked(entry, from))
  return async () => {
    const after = await startedContainers(lab)
    const alive = await Promise.all(views.map(view => view.isAlive()))
    const seen: Compared = { wrong: [], containers: 0, views: 0 }
    for (const { name } of owners.filter(({ name }) => !wasAsked(name))) {
      const container = containerOf(name)
      const [was, is] = [before.get(container), after.get(container)]
      if (!was || struckSince().some(other => mayEnd(other, { host: was.host, container }))) continue
      seen.containers += 1
      if (was.id !== is?.id || was.startedAt !== is.startedAt)
        seen.wrong.push(`${container} was ${is ? 'started anew' : 'stopped'}`)
    }
    for (const [n, { owner, gateway }] of views.entries()) {
      const container = containerOf(owner)
      const host = before.get(container)?.host
      if (!host || wasAsked(owner)) continue
      if (struckSince().some(other => mayClose(other, { host, gateway, container }))) continue
      seen.views += 1
      if (!alive[n]) seen.wrong.push(`the view of ${owner} was closed`)
    }
    return seen
  }
}
