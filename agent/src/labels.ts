import { generation, ownerHash, portName, portNumber, runtimeId, type StartCommand } from '@porthole/protocol'
import { z } from 'zod'
import type { Labels } from './engine/engine.ts'

/**
 * Docker's labels are the agent's memory. The `browser_use` ones are those of the single-host program (PARITY B7), so
 * that whatever looks for its containers finds ours.
 */
const names = {
  runtime: 'porthole.runtime',
  tenant: 'porthole.tenant',
  host: 'porthole.host',
  generation: 'porthole.generation',
  ports: 'porthole.ports',
  health: 'porthole.health',
  keyed: 'porthole.keyed',
  stopSeconds: 'porthole.stop_seconds',
  gpus: 'porthole.gpus',
  ownerHash: 'browser_use.owner_hash',
  /** Of a container that was started before it had an owner, and of its volume: the fingerprint of what it was made from. */
  warm: 'porthole.warm',
  /** Of a volume that stands for another one's directory: that one's name. */
  backing: 'porthole.backing',
} as const

/** What a container of ours says of itself. */
export type Recorded = {
  id: string
  generation: number
  /** Undefined for one that got its owner after it was made: then it is its name that says whose it is. */
  tenant?: string
  host: string
  ownerHash: string
  /** Of one that waits for an owner: the fingerprint of what it was made from. */
  warm?: string
  ports: Readonly<Record<string, number>>
  health: { port: string; path: string } | null
  keyed: boolean
  stopSeconds: number
}

const json = <T>(schema: z.ZodType<T>) =>
  z.string().transform((text, context): T => {
    try {
      return schema.parse(JSON.parse(text))
    } catch {
      context.addIssue({ code: 'custom', message: 'not the JSON that an agent writes' })
      return z.NEVER
    }
  })

const recorded = z.object({
  [names.runtime]: runtimeId,
  [names.generation]: json(generation),
  [names.tenant]: z.string(),
  [names.host]: z.string(),
  [names.ownerHash]: ownerHash,
  [names.ports]: json(z.record(portName, portNumber)),
  [names.health]: json(z.object({ port: portName, path: z.string() }).nullable()),
  [names.keyed]: json(z.boolean()),
  [names.stopSeconds]: json(z.number().int().min(0)),
})

/**
 * Whose a container is. The engine cannot change labels: one that was started before it had an owner is renamed when it gets
 * one, and says so by its name alone.
 */
export const ownerHashOf = (labels: Labels, name: string): string | undefined =>
  (labels[names.warm] === undefined ? undefined : hashIn(name)) ?? labels[names.ownerHash]

const hashIn = (name: string): string | undefined => /[0-9a-f]{16}$/.exec(name)?.[0]

/**
 * What the labels say, or undefined when no agent wrote them.
 * @param name the container's, '' where it has none
 */
export const readLabels = (labels: Labels, name: string): Recorded | undefined => {
  const parsed = recorded.safeParse(labels)
  if (!parsed.success) return undefined
  const read = parsed.data
  const warm = labels[names.warm]
  // One that the engine has half removed may have no name any more: by its labels it can be removed for good.
  const isAsMade = warm === undefined || (hashIn(name) ?? read[names.ownerHash]) === read[names.ownerHash]
  return {
    id: read[names.runtime],
    // Given to an owner, it is of the next one: that of the start that named them.
    generation: read[names.generation] + (isAsMade ? 0 : 1),
    ...(isAsMade ? { tenant: read[names.tenant] } : {}),
    host: read[names.host],
    ownerHash: ownerHashOf(labels, name) ?? read[names.ownerHash],
    ...(isAsMade && warm !== undefined ? { warm } : {}),
    ports: read[names.ports],
    health: read[names.health],
    keyed: read[names.keyed],
    stopSeconds: read[names.stopSeconds],
  }
}

/** The GPUs that a container has to itself. */
export const gpusOf = (labels: Labels): string[] => (labels[names.gpus] ?? '').split(',').filter(Boolean)

export const containerLabels = (
  hostId: string,
  id: string,
  command: StartCommand,
  gpus: readonly string[] = [],
  fingerprint?: string,
): Labels => ({
  ...volumeLabels(hostId, command),
  ...(fingerprint === undefined ? {} : { [names.warm]: fingerprint }),
  'browser_use.managed_by': 'browser_runtime_manager',
  [names.runtime]: id,
  [names.generation]: String(command.generation),
  [names.ports]: JSON.stringify(command.recipe.ports),
  [names.health]: JSON.stringify(command.recipe.health),
  [names.keyed]: String(command.recipe.keyed),
  [names.stopSeconds]: String(command.recipe.stopSeconds),
  ...(gpus.length > 0 ? { [names.gpus]: gpus.join(',') } : {}),
})

export const volumeLabels = (
  hostId: string,
  { tenant, ownerHash }: Pick<StartCommand, 'tenant' | 'ownerHash'>,
): Labels => ({
  'browser_use.runtime': 'true',
  [names.ownerHash]: ownerHash,
  [names.tenant]: tenant,
  [names.host]: hostId,
})

/** Of the volume of a container that waits for an owner. */
export const warmVolumeLabels = (hostId: string, owner: Parameters<typeof volumeLabels>[1]): Labels => ({
  ...volumeLabels(hostId, owner),
  [names.warm]: 'true',
})

/** Of an owner's volume that stands for the directory of the volume `backing`. */
export const adoptedVolumeLabels = (
  hostId: string,
  owner: Parameters<typeof volumeLabels>[1],
  backing: string,
): Labels => ({ ...volumeLabels(hostId, owner), [names.backing]: backing })

/** Whether a container got its owner after it was made. */
export const isClaimed = (labels: Labels, { warm }: Recorded): boolean =>
  labels[names.warm] !== undefined && warm === undefined

/** Whether a volume was made for a container without an owner. */
export const isWarmVolume = (labels: Labels): boolean => labels[names.warm] !== undefined

/** The volume that this one stands for, where it has no directory of its own. */
export const backingOf = (labels: Labels): string | undefined => labels[names.backing]

/** Marks a network as made by an agent; agents on one engine may share it. */
export const networkLabels: Labels = { 'porthole.network': 'true' }

/** Whether a volume was made on this host for this owner. */
export const isVolumeOf = (labels: Labels, hostId: string, owner: { ownerHash: string; tenant?: string }): boolean =>
  labels[names.host] === hostId &&
  labels[names.ownerHash] === owner.ownerHash &&
  (owner.tenant === undefined || labels[names.tenant] === owner.tenant)

/** Of the containers through which this host reads and writes volumes: never started, gone with the copy. */
export const copyLabels = (hostId: string): Labels => ({ 'porthole.copy': hostId })

/** Filters for the engine's list. */
export const ofHost = (hostId: string): Labels => ({ [names.host]: hostId })
export const ofRuntime = (hostId: string, id: string): Labels => ({ ...ofHost(hostId), [names.runtime]: id })
export const backedBy = (hostId: string, volume: string): Labels => ({ ...ofHost(hostId), [names.backing]: volume })
