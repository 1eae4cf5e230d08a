import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Config } from './config.ts'
import { keyOf, originOf } from './containers.ts'
import type { ContainerChange, Engine } from './engine/engine.ts'
import { ofHost, ofRuntime, type Recorded, readLabels } from './labels.ts'
import { AgentError } from './problems.ts'

/** A running container as the edge needs it. */
export type Reachable = {
  recorded: Recorded
  /** Port name → `http://host:port`. */
  origins: Readonly<Record<string, string>>
  key?: string
  /** Aborted when the container ends: whatever is open to it must close. */
  ended: AbortSignal
}

/**
 * Where the containers of this host are, kept in memory so that edge traffic makes no call to the engine. An address is
 * only kept while the engine's events are coming in: after a container has gone, its address is soon another's.
 */
export type Addresses = {
  /** @throws `not-found`, `wrong-state` (not running), or an engine error */
  find(runtimeId: string): Promise<Reachable>
  /** Forgets an address that did not answer; the next `find` asks the engine. */
  suspect(runtimeId: string): void
  /** Follows the engine's events until aborted. `onEnd` is told of every container that ends. */
  follow(signal: AbortSignal, onEnd: () => void): Promise<void>
}

/** Milliseconds before events are asked for again; the longest applies while the engine is down. */
const firstRetryMs = 100
const longestRetryMs = 5000

export const createAddresses = (deps: {
  engine: Pick<Engine, 'list' | 'inspect' | 'watch'>
  hostId: string
  reach: Config['reach']
  log: Logger
}): Addresses => {
  const { engine, hostId, reach, log } = deps
  const known = new Map<string, Reachable>()
  const lookups = new Map<string, Promise<Reachable>>()
  /** By container id: outlives a forgotten address, as sockets do. */
  const endings = new Map<string, AbortController>()
  let isFollowing = false
  let changes = 0

  const find = async (runtimeId: string): Promise<Reachable> => {
    const cached = known.get(runtimeId)
    if (cached) return cached
    const running = lookups.get(runtimeId) ?? lookUp(runtimeId).finally(() => lookups.delete(runtimeId))
    lookups.set(runtimeId, running)
    return running
  }

  const lookUp = async (runtimeId: string): Promise<Reachable> => {
    const before = changes
    const ours = (await engine.list(ofRuntime(hostId, runtimeId))).map(one => ({
      one,
      at: readLabels(one.labels, one.name),
    }))
    const newest = ours.sort((a, b) => (b.at?.generation ?? 0) - (a.at?.generation ?? 0))[0]
    const container = newest && (await engine.inspect(newest.one.id))
    const recorded = container && readLabels(container.labels, container.name)
    if (!recorded) throw new AgentError('not-found')
    if (container.status !== 'running') throw new AgentError('wrong-state', { detail: 'the runtime is not running' })
    const key = keyOf(container)
    const reachable: Reachable = {
      recorded,
      origins: Object.fromEntries(
        Object.entries(recorded.ports).flatMap(([name, port]) => {
          const origin = originOf(container, port, reach)
          return origin === undefined ? [] : [[name, origin]]
        }),
      ),
      ...(key === undefined ? {} : { key }),
      ended: endingOf(container.id).signal,
    }
    // What was read may be from before a change that has already been told.
    if (isFollowing && changes === before) known.set(runtimeId, reachable)
    return reachable
  }

  const endingOf = (containerId: string): AbortController => {
    const ending = endings.get(containerId) ?? new AbortController()
    endings.set(containerId, ending)
    return ending
  }

  const end = (containerId: string): void => {
    endings.get(containerId)?.abort()
    endings.delete(containerId)
  }

  const onChange = (change: ContainerChange): void => {
    changes++
    // Of a container all that is asked here is which runtime it is of: its name does not matter.
    const recorded = readLabels(change.labels, '')
    if (recorded) known.delete(recorded.id)
    if (change.action === 'die' || change.action === 'destroy') end(change.id)
  }

  const onOpen = (): void => {
    isFollowing = true
    // What ended while nobody told: its sockets are closed now.
    endMissed().catch(err => log.warn({ err }, 'containers could not be listed after a gap in the events'))
  }

  const endMissed = async (): Promise<void> => {
    const asked = [...endings.keys()]
    const running = new Set((await engine.list(ofHost(hostId))).filter(isUp).map(({ id }) => id))
    for (const id of asked) if (!running.has(id)) end(id)
  }

  const follow = async (signal: AbortSignal, onEnd: () => void): Promise<void> => {
    let pause = firstRetryMs
    while (!signal.aborted) {
      try {
        const opened = () => {
          pause = firstRetryMs
          onOpen()
        }
        const changed = (change: ContainerChange) => {
          onChange(change)
          if (change.action === 'die') onEnd()
        }
        await engine.watch(ofHost(hostId), opened, changed, signal)
      } catch (err) {
        if (!signal.aborted) log.warn({ err }, 'container events broke off')
      }
      isFollowing = false
      changes++
      known.clear()
      await sleep(pause, undefined, { signal }).catch(() => undefined)
      pause = Math.min(pause * 2, longestRetryMs)
    }
  }

  return { find, suspect: runtimeId => known.delete(runtimeId), follow }
}

const isUp = ({ status }: { status: string }): boolean => status === 'running' || status === 'paused'
