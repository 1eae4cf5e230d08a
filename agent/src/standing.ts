import type { Backings } from './backings.ts'
import type { ContainerDefaults } from './config.ts'
import { type Order, volumeName } from './containers.ts'
import type { ContainerSummary, Engine } from './engine/engine.ts'
import { stale } from './generations.ts'
import { isClaimed, ofHost, type Recorded, readLabels } from './labels.ts'

/** What a start finds on its host. */
export type InPlace =
  /** The container that already is this generation, of this owner, and can still become ready. */
  | { kind: 'own'; summary: ContainerSummary; isClaimed: boolean }
  /** The one of the generation before that was started without an owner: this start says whose it is to be. */
  | { kind: 'nobodys'; summary: ContainerSummary; recorded: Recorded }

type Seen = { summary: ContainerSummary; found: Recorded }

export type Standing = {
  /**
   * Looks for what is there of an order; every older container of its owner or runtime is removed.
   * @throws `stale-generation` when there is something newer, or an owner has been given what this order would start
   */
  find(order: Order): Promise<InPlace | undefined>
}

export const createStanding = ({
  engine,
  backings,
  defaults,
}: {
  engine: Engine
  backings: Pick<Backings, 'drop'>
  defaults: Pick<ContainerDefaults, 'volumePrefix'>
}): Standing => {
  const end = async ({ id }: ContainerSummary, { stopSeconds }: Recorded): Promise<void> => {
    await engine.stop(id, stopSeconds)
    await engine.remove(id)
  }

  /** One of the order's owner. Ids are in the order of time, but for one that waited: it is older than whoever it is for. */
  const ofOwner = async ({ id, command }: Order, { summary, found }: Seen, isForWaiting: boolean) => {
    const isNewer = found.id === id ? found.generation > command.generation : found.id > id && !isForWaiting
    if (isNewer) throw stale()
    const isSame = found.id === id && found.generation === command.generation
    if (!isSame || !isAlive(summary)) return end(summary, found)
    if (summary.status === 'paused') await engine.unpause(summary.id)
    if (summary.status === 'created') await engine.start(summary.id)
    return { kind: 'own', summary, isClaimed: isClaimed(summary.labels, found) } as const
  }

  /** One of the order's runtime that has another owner's name. */
  const ofRuntime = async ({ command }: Order, { summary, found }: Seen) => {
    if (found.generation > command.generation) throw stale()
    // It has been given to somebody since; or it was made by this very start, for nobody.
    if (found.generation === command.generation) throw stale()
    if (found.warm === undefined) return undefined
    if (found.generation === command.generation - 1 && !command.warm)
      return { kind: 'nobodys', summary, recorded: found } as const
    await engine.remove(summary.id)
    await backings.drop(volumeName(defaults, found.ownerHash))
  }

  return {
    find: async order => {
      const { hostId, id, command } = order
      const seen = (await engine.list(ofHost(hostId))).flatMap(summary => {
        const found = readLabels(summary.labels, summary.name)
        return found ? [{ summary, found }] : []
      })
      let nobodys: InPlace | undefined
      for (const one of seen.filter(({ found }) => found.id === id && found.ownerHash !== command.ownerHash))
        nobodys = (await ofRuntime(order, one)) ?? nobodys
      for (const one of seen.filter(({ found }) => found.ownerHash === command.ownerHash)) {
        // Another tenant's with the same hash: left alone, and its name makes the create fail as `name-taken`.
        if (one.found.tenant !== undefined && one.found.tenant !== command.tenant) continue
        const own = await ofOwner(order, one, nobodys !== undefined)
        if (own) return own
      }
      return nobodys
    },
  }
}

const isAlive = ({ status }: ContainerSummary): boolean =>
  status === 'running' || status === 'paused' || status === 'created' || status === 'restarting'
