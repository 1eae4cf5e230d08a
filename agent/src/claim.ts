import type { RuntimeFacts } from '@porthole/protocol'
import type { Logger } from 'pino'
import type { Backings } from './backings.ts'
import type { Config, ContainerDefaults } from './config.ts'
import {
  containerName,
  fingerprintOf,
  keyOf,
  type Order,
  originOf,
  personalOf,
  portOf,
  volumeName,
} from './containers.ts'
import { type Container, type ContainerSummary, type Engine, usualWeight } from './engine/engine.ts'
import { EngineRefused } from './engine/errors.ts'
import { factsOf } from './facts.ts'
import type { Probe } from './health.ts'
import { adoptedVolumeLabels, backingOf, isClaimed, isVolumeOf, ofHost, type Recorded, readLabels } from './labels.ts'
import type { GivePersonal } from './personal.ts'
import { AgentError } from './problems.ts'

/** Milliseconds in which a container must say that it is well to be given away. */
const probeMs = 2000

/** Gives containers that were started before they had an owner to whom a start names. */
export type Claims = {
  /**
   * Makes a container that waits for an owner the order's. Each step can be repeated, and the name comes last: what has the
   * owner's name has everything.
   * @returns undefined when it was not fit to be given away: then neither it nor its volume is left
   * @throws the signal's reason, or an engine error that leaves in doubt what is there
   */
  claim(
    order: Order,
    found: ContainerSummary,
    recorded: Recorded,
    signal: AbortSignal,
  ): Promise<RuntimeFacts | undefined>
  /** Lets a container have as much of a busy CPU as others. Nobody waits for it; a failure is logged. */
  restoreWeight(containerId: string): void
}

type Verdict = { facts: RuntimeFacts } | { why: string }

export const createClaims = (deps: {
  engine: Engine
  backings: Backings
  probe: Probe
  givePersonal: GivePersonal
  defaults: ContainerDefaults
  reach: Config['reach']
  log: Logger
}): Claims => {
  const { engine, backings, probe, givePersonal, defaults, reach, log } = deps

  const targetOf = (container: Container, recorded: Recorded, { port, path }: { port: string; path: string }) => {
    if (!Object.hasOwn(recorded.ports, port)) return undefined
    const origin = originOf(container, portOf(recorded.ports, port), reach)
    const key = keyOf(container)
    return origin === undefined ? undefined : { origin, path, ...(key === undefined ? {} : { key }) }
  }

  const isWell = async (container: Container, recorded: Recorded, signal: AbortSignal): Promise<boolean> => {
    if (recorded.health === null) return true
    const target = targetOf(container, recorded, recorded.health)
    if (target === undefined) return false
    const soon = AbortSignal.any([signal, AbortSignal.timeout(probeMs)])
    const health = await probe(target, soon).catch(() => ({ ok: false }))
    signal.throwIfAborted()
    return health.ok
  }

  /** The owner's volume, which stands for the directory that the container has. @returns why there is none */
  const adoptVolume = async ({ hostId, command }: Order, container: Container, recorded: Recorded) => {
    if (command.recipe.volumePath === null) return undefined
    const backing = volumeName(defaults, recorded.ownerHash)
    const device = container.volumes.find(({ name }) => name === backing)?.directory
    if (device === undefined) return 'it has not the volume that was made for it'
    const wanted = adoptedVolumeLabels(hostId, command, backing)
    const labels = await engine.ensureVolume(volumeName(defaults, command.ownerHash), wanted, { device })
    const isThis = isVolumeOf(labels, hostId, command) && backingOf(labels) === backing
    if (!isThis) return 'its owner has a profile already'
    // Whatever has gone wrong before, two owners never have one directory.
    return (await backings.ownersOf(backing)).length === 1 ? undefined : 'somebody else was to have its volume'
  }

  /** @returns why it has not taken them */
  const personalise = async ({ command }: Order, container: Container, recorded: Recorded, signal: AbortSignal) => {
    const settings = personalOf(command, defaults)
    const { personal } = command.recipe
    if (settings === undefined || personal === undefined) return undefined
    const target = targetOf(container, recorded, personal)
    const why = target === undefined ? 'no address' : await givePersonal(target, settings, signal)
    return why === undefined ? undefined : `it does not take its owner's settings: ${why}`
  }

  /** Why it can't be this order's, as far as that can be told without asking anybody. */
  const misfit = ({ command }: Order, recorded: Recorded): string | undefined => {
    if (recorded.warm !== fingerprintOf(command.recipe, defaults, reach)) return 'it was made from another recipe'
    const takesNone = command.recipe.personal === undefined
    if (takesNone && Object.keys(personalOf(command, defaults)?.env ?? {}).length > 0)
      return 'it takes no environment of its owner'
    return undefined
  }

  const adopt = async (
    order: Order,
    { id, status }: ContainerSummary,
    recorded: Recorded,
    signal: AbortSignal,
  ): Promise<Verdict> => {
    const { recipe, ownerHash } = order.command
    const unlike = misfit(order, recorded)
    if (unlike !== undefined) return { why: unlike }
    if (status === 'paused') await engine.unpause(id)
    const image = engine.imageId(recipe.image ?? defaults.image)
    // Refused or not, it is waited for below.
    image.catch(() => undefined)
    const container = await engine.inspect(id)
    if (container?.status !== 'running') return { why: 'it does not run' }
    // At the same time, because an owner waits; all of it can be done again, or undone. None may go on when another has
    // failed: what it makes would come after the end.
    const [current, well, volume, personal] = await Promise.allSettled([
      image,
      isWell(container, recorded, signal),
      adoptVolume(order, container, recorded),
      personalise(order, container, recorded, signal),
    ])
    const isCurrent = settledAs(current) !== undefined && settledAs(current) === container.imageId
    if (!isCurrent) return { why: 'its image is another by now' }
    if (!settledAs(well)) return { why: 'it is not well' }
    const fault = settledAs(volume) ?? settledAs(personal)
    if (fault !== undefined) return { why: fault }
    signal.throwIfAborted()
    await engine.rename(id, containerName(defaults, ownerHash))
    // Until it had its owner's name, whoever removes what they had before took the volume for unused.
    const [last, lost] = await Promise.all([engine.inspect(id), adoptVolume(order, container, recorded)])
    if (lost !== undefined) return { why: lost }
    const facts = last && factsOf(last)
    return facts?.state === 'running' ? { facts } : { why: 'it has ended' }
  }

  /** Nobody has used it, so nobody's profile goes with it. */
  const drop = async ({ hostId, command }: Order, { id }: ContainerSummary, recorded: Recorded): Promise<void> => {
    await engine.remove(id)
    const backing = volumeName(defaults, recorded.ownerHash)
    const own = volumeName(defaults, command.ownerHash)
    const labels = await engine.inspectVolume(own)
    if (labels && isVolumeOf(labels, hostId, command) && backingOf(labels) === backing) await engine.removeVolume(own)
    await backings.drop(backing)
  }

  return {
    claim: async (order, found, recorded, signal) => {
      let verdict: Verdict
      try {
        verdict = await adopt(order, found, recorded, signal)
      } catch (error) {
        // A gateway that is told "not ready" gives the room to somebody else.
        if (isDeadline(error)) await drop(order, found, recorded)
        if (!(error instanceof EngineRefused)) throw error
        verdict = { why: error.message }
      }
      const { id, generation } = recorded
      if ('why' in verdict) {
        log.info({ runtime: id, generation, why: verdict.why }, 'container that waited for an owner is not fit for one')
        await drop(order, found, recorded)
        return undefined
      }
      void restoreWeight(deps, found.id)
      return verdict.facts
    },
    restoreWeight: containerId => void restoreWeight(deps, containerId),
  }
}

/** Of those whose agent died before it got to it. One after the other: it costs the engine a process each. */
export const restoreWeights = async (deps: {
  engine: Pick<Engine, 'list' | 'setWeight'>
  hostId: string
  log: Logger
}): Promise<void> => {
  for (const { id, name, labels } of await deps.engine.list(ofHost(deps.hostId))) {
    const recorded = readLabels(labels, name)
    if (recorded && isClaimed(labels, recorded)) await restoreWeight(deps, id)
  }
}

const restoreWeight = async (
  { engine, log }: { engine: Pick<Engine, 'setWeight'>; log: Logger },
  container: string,
): Promise<void> => {
  try {
    await engine.setWeight(container, usualWeight)
  } catch (err) {
    log.warn({ container, err }, 'container keeps the low CPU weight of one without an owner')
  }
}

/** @throws why there is none */
const settledAs = <T>(settled: PromiseSettledResult<T>): T => {
  if (settled.status === 'rejected') throw settled.reason
  return settled.value
}

const isDeadline = (error: unknown): boolean => error instanceof AgentError && error.code === 'not-ready'
