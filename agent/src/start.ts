import type { RuntimeFacts, StartSteps } from '@porthole/protocol'
import type { Logger } from 'pino'
import type { Admission } from './admission.ts'
import type { Backings } from './backings.ts'
import { createClaims } from './claim.ts'
import type { Config, ContainerDefaults } from './config.ts'
import {
  containerRequest,
  keyOf,
  networkFor,
  type Order,
  originOf,
  portOf,
  secretsOf,
  volumeName,
} from './containers.ts'
import type { Container, Engine } from './engine/engine.ts'
import { EngineRefused, isConflict } from './engine/errors.ts'
import { factsOf } from './facts.ts'
import type { Health, Probe } from './health.ts'
import type { Images } from './images.ts'
import { isVolumeOf, networkLabels, ofRuntime, readLabels, volumeLabels, warmVolumeLabels } from './labels.ts'
import { maskSecrets } from './masking.ts'
import type { GivePersonal } from './personal.ts'
import { AgentError } from './problems.ts'
import { waitUntilReady } from './readiness.ts'
import { createStanding } from './standing.ts'
import { type Steps, timeSteps } from './steps.ts'
import type { Turnstile } from './turnstile.ts'

/** Lines and characters of a failed container's log that go into the error. */
const tailLines = 40
const tailLength = 16_000

export type StartDependencies = {
  engine: Engine
  backings: Backings
  images: Images
  turnstile: Turnstile
  probe: Probe
  givePersonal: GivePersonal
  /** Absent: whatever the gateway has reserved is taken. */
  admission?: Admission | undefined
  defaults: ContainerDefaults
  reach: Config['reach']
  log: Logger
}

export type Starter = {
  /**
   * Starts one runtime and waits until it is ready. When that fails, nothing of what this call made is left but its
   * volume; a container that was there before is removed only when it has ended or does not become ready.
   * @param signal aborted at the deadline or when the start is overtaken, with the `AgentError` to throw
   */
  start(order: Order, signal: AbortSignal): Promise<RuntimeFacts>
}

export const createStarter = (deps: StartDependencies): Starter => {
  const { engine, backings, images, turnstile, admission, defaults, reach, log } = deps
  const standing = createStanding(deps)
  const claims = createClaims(deps)

  const start = async (order: Order, signal: AbortSignal): Promise<RuntimeFacts> => {
    const secrets = secretsOf(order, defaults)
    signal.throwIfAborted()
    const steps = timeSteps()
    const inPlace = await steps.time('prepare', () => standing.find(order)).catch(doubt)
    if (inPlace?.kind === 'own') {
      if (inPlace.isClaimed) claims.restoreWeight(inPlace.summary.id)
      return takenOver(order, inPlace.summary.id, secrets, signal)
    }
    if (inPlace?.kind === 'nobodys') {
      const { summary, recorded } = inPlace
      const claim = () => claims.claim(order, summary, recorded, signal)
      const facts = await steps.time('claim', claim).catch(error => {
        throw presentable(inDoubt(error), secrets)
      })
      if (facts) return { ...facts, steps: { claim: sum(steps.took()) } }
    }
    const leave = await steps.time('turn', () => turnstile.enter(signal, { last: order.command.warm === true }))
    try {
      await steps.time('prepare', () => prepare(order, signal))
      const facts = await ready(order, await make(order, steps, signal), steps, secrets, signal)
      return { ...facts, steps: steps.took() }
    } catch (error) {
      await removeLeftovers(order)
      throw presentable(error, secrets)
    } finally {
      leave()
    }
  }

  const takenOver = async (
    order: Order,
    containerId: string,
    secrets: readonly string[],
    signal: AbortSignal,
  ): Promise<RuntimeFacts> => {
    try {
      return await ready(order, containerId, timeSteps(), secrets, signal)
    } catch (error) {
      // An engine that fails, or a newer command, says nothing against a container that has been running.
      if (error instanceof AgentError && isVerdict(error)) await removeLeftovers(order)
      throw presentable(inDoubt(error), secrets)
    }
  }

  /** Sees to it that the host takes it, and that there is what it is made of. */
  const prepare = async (order: Order, signal: AbortSignal): Promise<void> => {
    const { image, network: name } = containerRequest(order, defaults, reach)
    const admitted = async () => {
      await admission?.check()
      await images.ensure(image, signal)
    }
    const network = networkFor(defaults.network, order.command.recipe.egress)
    await Promise.all([admitted(), engine.ensureNetwork(name, networkLabels, network)])
  }

  const make = async (order: Order, steps: Steps, signal: AbortSignal): Promise<string> => {
    const { hostId, command } = order
    const { recipe, ownerHash } = command
    const createWith = async (gpus: string[]) => {
      signal.throwIfAborted()
      // Not before the host has taken it for good: refused for want of room it goes elsewhere, and forgets this host.
      if (recipe.volumePath !== null) {
        const name = volumeName(defaults, ownerHash)
        const wanted = command.warm ? warmVolumeLabels(hostId, command) : volumeLabels(hostId, command)
        const labels = await steps.time('volume', () => engine.ensureVolume(name, wanted))
        const isOurs = isVolumeOf(labels, hostId, command)
        if (!isOurs || (await backings.isTaken(name, labels))) throw nameTaken('volume', name)
      }
      return steps.time('create', () => create(containerRequest(order, defaults, reach, gpus)))
    }
    const id = await (admission ? admission.withGpus(recipe.gpus ?? 0, createWith) : createWith([]))
    await steps.time('start', () => engine.start(id))
    return id
  }

  const create = async (request: ReturnType<typeof containerRequest>): Promise<string> => {
    try {
      return await engine.create(request)
    } catch (error) {
      if (isConflict(error)) throw nameTaken('container', request.name)
      throw error
    }
  }

  const ready = async (
    order: Order,
    containerId: string,
    steps: Steps,
    secrets: readonly string[],
    signal: AbortSignal,
  ): Promise<RuntimeFacts> => {
    const outcome = await steps.timeAnswer(async () => {
      const container = await engine.inspect(containerId)
      return waitUntilReady(engine, containerId, healthOf(order, container), signal)
    })
    if (outcome.end === 'aborted') {
      if (!isDeadline(signal.reason)) throw signal.reason
      const detail = `last health check: ${outcome.lastFailure}`
      throw new AgentError('not-ready', { detail, ...(await tail(containerId, secrets)) })
    }
    // Also after a good health check: without one, the container may have ended in the meantime.
    const last = await engine.inspect(containerId)
    const facts = last && factsOf(last)
    if (outcome.end === 'ready' && facts?.state === 'running') return facts
    const exitCode = outcome.end === 'exited' ? outcome.exitCode : facts?.exitCode
    throw new AgentError('runtime-exited', {
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(await tail(containerId, secrets)),
    })
  }

  /** One health check of this container: always content when the recipe has none. */
  const healthOf = ({ command }: Order, container: Container | undefined) => {
    const { health, ports } = command.recipe
    return async (signal: AbortSignal): Promise<Health> => {
      if (health === null) return { ok: true }
      const origin = container && originOf(container, portOf(ports, health.port), reach)
      if (origin === undefined) return { ok: false, why: 'the container has no address' }
      const key = container && keyOf(container)
      return deps.probe({ origin, path: health.path, waits: true, ...(key === undefined ? {} : { key }) }, signal)
    }
  }

  /** A log that can't be read must not hide why it was wanted. */
  const tail = async (containerId: string, secrets: readonly string[]): Promise<{ logTail?: string }> => {
    try {
      const text = await engine.logs(containerId, tailLines)
      return text === undefined ? {} : { logTail: maskSecrets(text, secrets).slice(-tailLength) }
    } catch (err) {
      log.warn({ container: containerId, err }, 'log of a failed start is unreadable')
      return {}
    }
  }

  const removeLeftovers = async ({ hostId, id, command }: Order): Promise<void> => {
    try {
      for (const { id: containerId, name, labels } of await engine.list(ofRuntime(hostId, id))) {
        if (readLabels(labels, name)?.generation === command.generation) await engine.remove(containerId)
      }
      // The profile of one that never had an owner is nobody's.
      if (command.warm) await backings.drop(volumeName(defaults, command.ownerHash))
    } catch (cause) {
      // Any other refusal tells the gateway that nothing is left here, and it would give the room to somebody else.
      log.error({ runtime: id, err: cause }, 'container of a failed start is left')
      throw new AgentError(
        'engine-unavailable',
        { detail: 'the start failed, and what it made is still there' },
        { cause },
      )
    }
  }

  return { start }
}

const sum = (steps: StartSteps): number => Object.values(steps).reduce((all, ms) => all + ms, 0)

const isDeadline = (reason: unknown): boolean => reason instanceof AgentError && reason.code === 'not-ready'

/** Whether a failure is the container's own. */
const isVerdict = ({ code }: AgentError): boolean => code === 'not-ready' || code === 'runtime-exited'

const nameTaken = (kind: 'container' | 'volume', name: string): AgentError =>
  new AgentError('name-taken', { detail: `the ${kind} ${name} was not made by this host for this owner` })

/** The engine has refused something about a container that was there before: it still is, and holds its room. */
const inDoubt = (error: unknown): unknown =>
  error instanceof EngineRefused
    ? new AgentError(
        'engine-unavailable',
        { detail: 'the engine refused to deal with the container that was there before' },
        { cause: error },
      )
    : error

const doubt = (error: unknown): never => {
  throw inDoubt(error)
}

/** The engine's own words may repeat what it was given. */
const presentable = (error: unknown, secrets: readonly string[]): unknown =>
  error instanceof EngineRefused
    ? new AgentError('engine-refused', { detail: maskSecrets(error.message, secrets) }, { cause: error })
    : error
