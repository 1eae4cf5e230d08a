import type { Engine, Labels } from './engine/engine.ts'
import { isConflict } from './engine/errors.ts'
import { backedBy, isWarmVolume, ofHost } from './labels.ts'

/**
 * The volumes of containers that were started before they had an owner. A volume cannot be renamed: an owner who is given such
 * a container gets a volume of the usual name that stands for the same directory, and this one stays behind it.
 */
export type Backings = {
  /** The names of the volumes that stand for this one's directory. */
  ownersOf(name: string): Promise<string[]>
  /** Whether a volume with these labels is behind an owner's by now: then it is nobody else's to use. */
  isTaken(name: string, labels: Labels): Promise<boolean>
  /** Removes such a volume unless it is behind an owner's, or a container has it. Any other is left alone. */
  drop(name: string): Promise<void>
  /**
   * Drops all that nothing refers to, as an agent that died between two steps leaves them. Before the first start: one whose
   * container is about to be made looks the same.
   */
  clear(): Promise<void>
}

export const createBackings = (
  engine: Pick<Engine, 'inspectVolume' | 'listVolumes' | 'removeVolume'>,
  hostId: string,
): Backings => {
  const ownersOf = async (name: string): Promise<string[]> =>
    (await engine.listVolumes(backedBy(hostId, name))).map(volume => volume.name)
  const isBehind = async (name: string): Promise<boolean> => (await ownersOf(name)).length > 0

  const removeUnused = async (name: string): Promise<void> => {
    try {
      await engine.removeVolume(name)
    } catch (error) {
      if (!isConflict(error)) throw error
    }
  }

  const drop = async (name: string): Promise<void> => {
    const labels = await engine.inspectVolume(name)
    if (labels === undefined || !isWarmVolume(labels) || !isOfHost(labels, hostId)) return
    if (!(await isBehind(name))) await removeUnused(name)
  }

  return {
    ownersOf,
    isTaken: async (name, labels) => isWarmVolume(labels) && isBehind(name),
    drop,
    clear: async () => {
      for (const { name, labels } of await engine.listVolumes(ofHost(hostId)))
        if (isWarmVolume(labels)) await drop(name)
    },
  }
}

const isOfHost = (labels: Labels, hostId: string): boolean =>
  Object.entries(ofHost(hostId)).every(([label, value]) => labels[label] === value)
