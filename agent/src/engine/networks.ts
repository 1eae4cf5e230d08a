import { setTimeout as sleep } from 'node:timers/promises'
import type Docker from 'dockerode'
import type { z } from 'zod'
import { networkListAnswer } from './docker-shapes.ts'
import type { Engine, Labels, Network } from './engine.ts'
import { EngineRefused, isConflict } from './errors.ts'

const icc = 'com.docker.network.bridge.enable_icc'
const bridgeName = 'com.docker.network.bridge.name'
/** Milliseconds. */
const callMs = 30_000
const pauseMs = 100
const mostTries = 50

/** One call to the engine: what it is for, its deadline in milliseconds, and the call. */
type Call = <T>(what: string, ms: number, work: (signal: AbortSignal) => Promise<T>) => Promise<T>

type Listed = z.infer<typeof networkListAnswer>[number]

/**
 * Networks by name, on an engine that does not keep names unique: two made at the same moment both come to be, and from
 * then on neither can be used by its name. Here one start at a time makes a network, and twins are reduced to one.
 */
export const createNetworks = (docker: Docker, call: Call): Pick<Engine, 'ensureNetwork' | 'findNetworks'> => {
  const underWay = new Map<string, Promise<Network>>()

  const named = (name: string): Promise<Listed[]> =>
    call(`list networks ${name}`, callMs, async abortSignal =>
      networkListAnswer
        .parse(await docker.listNetworks({ filters: { name: [name] }, abortSignal }))
        // The filter takes parts of names too.
        .filter(network => network.Name === name),
    )

  const create = async (name: string, labels: Labels, isInternal: boolean): Promise<void> => {
    await call(`create network ${name}`, callMs, abortSignal =>
      docker.createNetwork({
        Name: name,
        Driver: 'bridge',
        CheckDuplicate: true,
        Internal: isInternal,
        Options: { [icc]: 'false' },
        Labels: { ...labels },
        abortSignal,
      }),
    )
  }

  /** The twin that goes is the same for every agent, unless it is in use: then it stays and another goes. */
  const removeOne = async (name: string, twins: readonly Listed[], labels: Labels): Promise<void> => {
    const removable = twins
      .filter(twin => Object.entries(labels).every(([label, value]) => twin.Labels[label] === value))
      .sort((a, b) => (a.Id < b.Id ? 1 : -1))
    for (const { Id } of removable) {
      try {
        await call(`remove network ${name}`, callMs, abortSignal => docker.getNetwork(Id).remove({ abortSignal }))
        return
      } catch (error) {
        // In use (403), or gone already (404).
        if (!(error instanceof EngineRefused)) throw error
      }
    }
  }

  const ensure = async (name: string, labels: Labels, isInternal: boolean): Promise<Network> => {
    for (let tries = 0; tries < mostTries; tries++) {
      const found = await named(name)
      const [first] = found
      if (first && found.length === 1) return fit(first, isInternal)
      if (found.length > 1) {
        await removeOne(name, found, labels)
        await sleep(pauseMs)
      } else {
        await create(name, labels, isInternal).catch(unlessTaken)
      }
    }
    throw new EngineRefused(409, `network ${name} exists more than once; remove all but one of them`)
  }

  return {
    ensureNetwork: (name, labels, { isInternal } = { isInternal: false }) => {
      const running = underWay.get(name) ?? ensure(name, labels, isInternal).finally(() => underWay.delete(name))
      underWay.set(name, running)
      return running
    },
    findNetworks: async name => (await named(name)).map(toNetwork),
  }
}

/** Somebody else made it in between. */
const unlessTaken = (error: unknown): void => {
  if (!isConflict(error)) throw error
}

/** The network, if it keeps containers as far apart as it should. */
const fit = (listed: Listed, isInternal: boolean): Network => {
  const problem =
    listed.Options?.[icc] !== 'false'
      ? 'lets containers talk to each other'
      : (listed.Internal ?? false) !== isInternal
        ? `is ${isInternal ? 'not ' : ''}internal`
        : undefined
  if (problem === undefined) return toNetwork(listed)
  throw new EngineRefused(
    409,
    `network ${listed.Name} ${problem}; remove it (the agent makes its own) or name another in BROWSER_RUNTIME_NETWORK`,
  )
}

const toNetwork = ({ Id, Options }: Listed): Network => ({
  id: Id,
  bridge: Options?.[bridgeName] ?? `br-${Id.slice(0, 12)}`,
})
