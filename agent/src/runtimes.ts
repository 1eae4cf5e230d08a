import { randomBytes } from 'node:crypto'
import type { DeleteCommand, GenerationCommand, RuntimeFacts, StartCommand } from '@porthole/protocol'
import type { Logger } from 'pino'
import type { Admission } from './admission.ts'
import { createBackings } from './backings.ts'
import type { Config, ContainerDefaults } from './config.ts'
import { keyOf, originOf, portOf, volumeName } from './containers.ts'
import type { ContainerSummary, Engine } from './engine/engine.ts'
import { factsOf } from './facts.ts'
import { createGenerations, stale } from './generations.ts'
import type { Health, Probe } from './health.ts'
import { createImages } from './images.ts'
import { ofHost, ofRuntime, type Recorded, readLabels } from './labels.ts'
import { createLanes } from './lanes.ts'
import { type GivePersonal, httpGivePersonal } from './personal.ts'
import { AgentError } from './problems.ts'
import { createStarter } from './start.ts'
import { createTurnstile } from './turnstile.ts'
import type { Uses } from './uses.ts'
import { createVolumes, type Volumes } from './volumes.ts'

const waitingPerRuntime = 16
const waitingStarts = 1000
const rememberedRuntimes = 20_000

export type RuntimesDependencies = {
  engine: Engine
  probe: Probe
  /** Absent: over HTTP. */
  givePersonal?: GivePersonal
  admission?: Admission
  /** Absent: this host does not say when its runtimes were used. */
  uses?: Pick<Uses, 'unusedMs'>
  /** Those of the same host: whoever works on a volume has it to itself. Absent: nobody else does. */
  volumes?: Pick<Volumes, 'remove'>
  hostId: string
  defaults: ContainerDefaults
  reach: Config['reach']
  startsAtOnce: number
  log: Logger
}

/** The runtimes of one host. Every command is idempotent by (id, generation); errors are `AgentError` or the engine's. */
export type Runtimes = {
  /** Resolves once the runtime is ready. A repeated start of the same generation joins the one under way. */
  start(id: string, command: StartCommand): Promise<RuntimeFacts>
  /** Stops and removes the container, keeping its volume. */
  stop(id: string, command: GenerationCommand): Promise<RuntimeFacts>
  /** Freezes a running container: it keeps its memory and takes no CPU. One that is frozen is a success. */
  pause(id: string, command: GenerationCommand): Promise<RuntimeFacts>
  /** Lets a frozen container go on. One that runs is a success. */
  resume(id: string, command: GenerationCommand): Promise<RuntimeFacts>
  /** Removes the container, and the volume when asked. Nothing there is a success. */
  delete(id: string, command: DeleteCommand): Promise<void>
  /**
   * Removes the container of just that generation, keeping its volume; one that is starting stays.
   * @returns false when there was none
   */
  discard(id: string, generation: number): Promise<boolean>
  inspect(id: string, options: { probe: boolean }): Promise<RuntimeFacts>
  list(): Promise<RuntimeFacts[]>
}

type Owned = { summary: ContainerSummary; recorded: Recorded }

type Attempt = {
  generation: number
  result: Promise<RuntimeFacts>
  abort: (reason: AgentError) => void
}

export const createRuntimes = (deps: RuntimesDependencies): Runtimes => {
  const { engine, hostId, defaults, reach, log, volumes = createVolumes({ engine, hostId, defaults }) } = deps
  const backings = createBackings(engine, hostId)
  const generations = createGenerations(rememberedRuntimes)
  const lanes = createLanes(waitingPerRuntime)
  const attempts = new Map<string, Attempt>()
  const starter = createStarter({
    engine,
    backings,
    images: createImages(engine),
    turnstile: createTurnstile(deps.startsAtOnce, waitingStarts),
    probe: deps.probe,
    givePersonal: deps.givePersonal ?? httpGivePersonal(),
    admission: deps.admission,
    defaults,
    reach,
    log,
  })

  const start = async (id: string, command: StartCommand): Promise<RuntimeFacts> => {
    generations.admitStart(id, command.generation, command.ownerHash)
    const current = attempts.get(id)
    if (current?.generation === command.generation) return current.result
    current?.abort(stale())
    const attempt = begin(id, command)
    attempts.set(id, attempt)
    try {
      return await attempt.result
    } finally {
      if (attempts.get(id) === attempt) attempts.delete(id)
    }
  }

  /** The deadline runs from here: waiting for a turn counts. */
  const begin = (id: string, command: StartCommand): Attempt => {
    const over = new AbortController()
    const timer = setTimeout(
      () => over.abort(new AgentError('not-ready', { detail: 'the deadline passed before the container was started' })),
      command.deadlineMs,
    )
    const order = { hostId, id, command, key: randomBytes(32).toString('base64url') }
    const result = lanes
      .run(id, () => starter.start(order, over.signal), over.signal)
      .finally(() => clearTimeout(timer))
    return { generation: command.generation, result, abort: reason => over.abort(reason) }
  }

  /** Ends a start under way, and with it the wait of whoever comes after it. */
  const interrupt = (id: string, verb: string): void =>
    attempts.get(id)?.abort(new AgentError('wrong-state', { detail: `the runtime was ${verb} while it was starting` }))

  const owned = async (id: string): Promise<Owned[]> =>
    (await engine.list(ofRuntime(hostId, id))).flatMap(summary => {
      const recorded = readLabels(summary.labels, summary.name)
      return recorded ? [{ summary, recorded }] : []
    })

  /** Removes a container; its volume stays, unless it has not had an owner yet. */
  const takeAway = async ({ summary, recorded }: Owned, isKept: boolean): Promise<void> => {
    if (summary.status === 'paused') await engine.unpause(summary.id)
    // A profile that goes too, or that is nobody's yet, need not be written down.
    if (isKept && recorded.warm === undefined) await engine.stop(summary.id, recorded.stopSeconds)
    await engine.remove(summary.id)
    if (recorded.warm !== undefined) await backings.drop(volumeName(defaults, recorded.ownerHash))
  }

  /** @param isKept whether its profile is: else it is killed, which is several times faster */
  const end = async (id: string, generation: number, isKept = true): Promise<RuntimeFacts | undefined> => {
    const containers = await owned(id)
    if (containers.some(({ recorded }) => recorded.generation > generation)) throw stale()
    for (const one of containers) await takeAway(one, isKept)
    const last = containers[0]
    return last && { id, generation: last.recorded.generation, ownerHash: last.recorded.ownerHash, state: 'exited' }
  }

  const stop = async (id: string, { generation }: GenerationCommand): Promise<RuntimeFacts> => {
    const ownerHash = generations.admitEnd(id, generation)
    interrupt(id, 'stopped')
    return lanes.run(id, async () => {
      const ended = await end(id, generation)
      if (ended) return ended
      if (ownerHash === undefined) throw new AgentError('not-found')
      return { id, generation, ownerHash, state: 'exited' }
    })
  }

  const remove = async (id: string, command: DeleteCommand): Promise<void> => {
    generations.admitEnd(id, command.generation)
    interrupt(id, 'deleted')
    await lanes.run(id, async () => {
      await end(id, command.generation, !command.removeVolume)
      if (!command.removeVolume) return
      try {
        // After whoever reads or writes it, and with the copier that an engine killed in the middle has kept.
        await volumes.remove({ ownerHash: command.ownerHash })
      } catch (error) {
        // Somebody else's volume of that name is not what was asked to go, and is never touched.
        if (!(error instanceof AgentError && error.code === 'name-taken')) throw error
      }
    })
  }

  const discard = async (id: string, generation: number): Promise<boolean> => {
    if (attempts.get(id)?.generation === generation) return false
    return lanes.run(id, async () => {
      const found = (await owned(id)).filter(({ recorded }) => recorded.generation === generation)
      if (attempts.get(id)?.generation === generation) return false
      for (const one of found) await takeAway(one, true)
      return found.length > 0
    })
  }

  /** Freezes or unfreezes a container of just that generation. */
  const turn = async (
    id: string,
    { generation }: GenerationCommand,
    to: 'paused' | 'running',
  ): Promise<RuntimeFacts> => {
    generations.admit(id, generation)
    if (attempts.has(id)) throw new AgentError('wrong-state', { detail: 'the runtime is starting' })
    return lanes.run(id, async () => {
      const containers = await owned(id)
      if (containers.some(({ recorded }) => recorded.generation > generation)) throw stale()
      const found = containers.find(({ recorded }) => recorded.generation === generation)
      if (!found) throw new AgentError('not-found')
      const { summary, recorded } = found
      if (summary.status !== 'paused' && summary.status !== 'running')
        throw new AgentError('wrong-state', { detail: `the container is ${summary.status}` })
      if (summary.status !== to) await (to === 'paused' ? engine.pause : engine.unpause)(summary.id)
      return { id, generation, ownerHash: recorded.ownerHash, state: to }
    })
  }

  const inspect = async (id: string, { probe }: { probe: boolean }): Promise<RuntimeFacts> => {
    const found = (await owned(id)).sort((a, b) => b.recorded.generation - a.recorded.generation)[0]
    const facts = found && currentFacts(found.summary)
    if (!found || !facts) throw new AgentError('not-found')
    if (!probe) return facts
    const health = await healthOf(found.summary, found.recorded)
    // One that is not well knows as well when it was used.
    const told = health.unusedMs
    const unusedMs = facts.state === 'running' ? deps.uses?.unusedMs(found.recorded, told) : undefined
    return { ...facts, healthy: health.ok, ...(unusedMs === undefined ? {} : { unusedMs }) }
  }

  const healthOf = async (summary: ContainerSummary, { health, ports }: Recorded): Promise<Health> => {
    if (summary.status !== 'running') return { ok: false, why: 'it does not run' }
    if (health === null) return { ok: true }
    const container = await engine.inspect(summary.id)
    const origin = container && originOf(container, portOf(ports, health.port), reach)
    if (!container || origin === undefined) return { ok: false, why: 'it has no address' }
    const key = keyOf(container)
    const target = { origin, path: health.path, ...(key === undefined ? {} : { key }) }
    return deps.probe(target, AbortSignal.timeout(2 * 2000))
  }

  /** A container runs before it is ready: while its start is under way it is `starting`. */
  const currentFacts = (summary: ContainerSummary): RuntimeFacts | undefined => {
    const facts = factsOf(summary)
    if (facts?.state !== 'running') return facts
    return attempts.get(facts.id)?.generation === facts.generation ? { ...facts, state: 'starting' } : facts
  }

  const list = async (): Promise<RuntimeFacts[]> =>
    (await engine.list(ofHost(hostId))).flatMap(summary => currentFacts(summary) ?? [])

  return {
    start,
    stop,
    pause: (id, command) => turn(id, command, 'paused'),
    resume: (id, command) => turn(id, command, 'running'),
    delete: remove,
    discard,
    inspect,
    list,
  }
}
