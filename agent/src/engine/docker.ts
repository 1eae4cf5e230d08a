import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import Docker from 'dockerode'
import { z } from 'zod'
import { untilAborted, withDeadline } from './deadline.ts'
import {
  eventLine,
  imageAnswer,
  imageListAnswer,
  infoAnswer,
  inspectAnswer,
  listAnswer,
  toContainer,
  toCreateOptions,
  toFilter,
  toSummary,
  volumeAnswer,
  volumeListAnswer,
  waitAnswer,
} from './docker-shapes.ts'
import type { ContainerChange, Engine } from './engine.ts'
import { EngineRefused, EngineUnavailable, isAbsent, isConflict, isEngineError } from './errors.ts'
import { demultiplex } from './log-stream.ts'
import { createNetworks } from './networks.ts'

/** Where an engine listens. */
export type EngineAddress =
  | { socketPath: string }
  | { host: string; port: number; tls?: { ca: string; cert: string; key: string } }

/** Milliseconds. Reads are quick even on a loaded daemon; making and removing touch the disk. */
const readMs = 10_000
const writeMs = 60_000
/** A volume of some gigabytes over a slow network. */
const archiveMs = 30 * 60_000
/** On top of the seconds that a stop leaves the container. */
const stopSlackMs = 15_000

const watched = ['start', 'die', 'pause', 'unpause', 'destroy'] as const
const isWatched = (action: string): action is ContainerChange['action'] => watched.some(one => one === action)

/** An engine that speaks Docker's API: Docker, Podman, Colima, OrbStack. */
export const dockerEngine = (address: EngineAddress): Engine => {
  const docker = new Docker(connection(address))
  /** For the calls that dockerode gives no way to abort: a silent connection is closed instead. */
  const impatient = new Docker({ ...connection(address), timeout: readMs })

  /** One call within `ms`, whose failure says which call it was and what the engine said. */
  const call = async <T>(what: string, ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    try {
      return await withDeadline(ms, work)
    } catch (cause) {
      throw engineError(what, cause)
    }
  }
  const orAbsent = async <T>(work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }
  /** Once somebody else's removal of it is done. @throws EngineRefused when that has failed */
  const untilRemoved = (id: string) =>
    call(`wait for the removal of container ${id}`, writeMs, async abortSignal => {
      const { Error: failed } = waitAnswer.parse(
        await docker.getContainer(id).wait({ condition: 'removed', abortSignal }),
      )
      if (failed) throw new EngineRefused(500, `container ${id} was not removed: ${failed.Message}`)
    })
  const { ensureNetwork, findNetworks } = createNetworks(docker, call)
  const inspectVolume = (name: string) =>
    orAbsent(
      call(
        `inspect volume ${name}`,
        readMs,
        async abortSignal => volumeAnswer.parse(await docker.getVolume(name).inspect({ abortSignal })).Labels,
      ),
    )

  const inspect = (id: string) =>
    orAbsent(
      call(`inspect container ${id}`, readMs, async abortSignal =>
        toContainer(inspectAnswer.parse(await docker.getContainer(id).inspect({ abortSignal }))),
      ),
    )
  const imageId = (reference: string) =>
    orAbsent(
      call(
        `inspect image ${reference}`,
        readMs,
        async signal => imageAnswer.parse(await untilAborted(signal, impatient.getImage(reference).inspect())).Id,
      ),
    )

  return {
    info: () =>
      call('info', readMs, async signal => {
        const answer = infoAnswer.parse(await untilAborted(signal, impatient.info()))
        return {
          version: answer.ServerVersion,
          os: answer.OSType,
          arch: answer.Architecture,
          rootDir: answer.DockerRootDir,
          cpus: answer.NCPU,
          memoryBytes: answer.MemTotal,
        }
      }),

    images: () =>
      call('list images', readMs, async abortSignal =>
        imageListAnswer
          .parse(await docker.listImages({ abortSignal }))
          .flatMap(image => image.RepoTags ?? [])
          .filter(tag => tag !== '<none>:<none>'),
      ),

    hasImage: async reference => (await imageId(reference)) !== undefined,
    imageId,

    pull: async (reference, signal) => {
      try {
        await untilAborted(signal, followPull(await docker.pull(reference, { abortSignal: signal }), signal))
      } catch (cause) {
        throw engineError(`pull ${reference}`, cause)
      }
    },

    // The engine's own check for duplicates is not atomic: two creates at once leave two networks of one name, and every
    // later use of it fails as ambiguous. So one at a time.
    ensureNetwork,
    findNetworks,

    ensureVolume: async (name, labels, options) => {
      const present = await inspectVolume(name)
      if (present !== undefined) return present
      await call(`create volume ${name}`, writeMs, abortSignal =>
        docker.createVolume({
          Name: name,
          Labels: { ...labels },
          ...(options ? { Driver: 'local', DriverOpts: { type: 'none', o: 'bind', device: options.device } } : {}),
          abortSignal,
        }),
      )
      // Docker gives back an existing volume of that name as if it had made it: its labels say whose it is.
      return (await inspectVolume(name)) ?? {}
    },

    inspectVolume,

    listVolumes: labels =>
      call('list volumes', readMs, async abortSignal =>
        volumeListAnswer
          .parse(await docker.listVolumes({ filters: toFilter(labels), abortSignal }))
          .Volumes.map(volume => ({ name: volume.Name, labels: volume.Labels })),
      ),

    removeVolume: async name => {
      await orAbsent(
        call(`remove volume ${name}`, writeMs, abortSignal => docker.getVolume(name).remove({ abortSignal })),
      )
    },

    create: request =>
      call(`create container ${request.name}`, writeMs, async abortSignal => {
        const container = await docker.createContainer({ ...toCreateOptions(request), abortSignal })
        return container.id
      }),

    start: async id => {
      await call(`start container ${id}`, writeMs, abortSignal => docker.getContainer(id).start({ abortSignal }))
    },

    inspect,

    rename: async (id, name) => {
      try {
        await call(`rename container ${id} to ${name}`, writeMs, abortSignal =>
          docker.getContainer(id).rename({ name, abortSignal }),
        )
      } catch (error) {
        // Docker refuses the name that a container has already.
        if (!(error instanceof EngineRefused) || (await inspect(id))?.name !== name) throw error
      }
    },

    setWeight: async (id, weight) => {
      await call(`weigh container ${id}`, writeMs, abortSignal =>
        docker.getContainer(id).update({ CpuShares: weight, abortSignal }),
      )
    },

    list: labels =>
      call('list containers', readMs, async abortSignal =>
        listAnswer
          .parse(await docker.listContainers({ all: true, filters: toFilter(labels), abortSignal }))
          .map(toSummary),
      ),

    stop: async (id, seconds) => {
      try {
        await call(`stop container ${id}`, seconds * 1000 + stopSlackMs, abortSignal =>
          docker.getContainer(id).stop({ t: seconds, abortSignal }),
        )
      } catch (error) {
        // 304: not running.
        if (!isAbsent(error) && !(error instanceof EngineRefused && error.status === 304)) throw error
      }
    },

    remove: async id => {
      try {
        await call(`remove container ${id}`, writeMs, abortSignal =>
          docker.getContainer(id).remove({ force: true, v: true, abortSignal }),
        )
      } catch (error) {
        if (isAbsent(error)) return
        if (!isOnItsWay(error)) throw error
        await orAbsent(untilRemoved(id))
      }
    },

    pause: async id => {
      await call(`pause container ${id}`, writeMs, abortSignal => docker.getContainer(id).pause({ abortSignal }))
    },

    unpause: async id => {
      await call(`unpause container ${id}`, writeMs, abortSignal => docker.getContainer(id).unpause({ abortSignal }))
    },

    readArchive: (id, path) =>
      call(`read ${path} of container ${id}`, writeMs, async abortSignal => {
        const archive = await docker.getContainer(id).getArchive({ path, abortSignal })
        // It is node's own answer; anything else that can be read will do.
        return archive instanceof Readable ? archive : Readable.from(archive)
      }),

    writeArchive: async (id, path, archive) => {
      await call(`write ${path} of container ${id}`, archiveMs, abortSignal =>
        docker.getContainer(id).putArchive(archive, { path, abortSignal }),
      )
    },

    logs: (id, lines) =>
      orAbsent(
        call(`read log of container ${id}`, readMs, async abortSignal =>
          demultiplex(
            await docker.getContainer(id).logs({ follow: false, stdout: true, stderr: true, tail: lines, abortSignal }),
          ),
        ),
      ),

    waitForExit: async (id, signal) => {
      try {
        const wait = docker.getContainer(id).wait({ abortSignal: signal })
        return waitAnswer.parse(await untilAborted(signal, wait)).StatusCode
      } catch (cause) {
        throw engineError(`wait for container ${id}`, cause)
      }
    },

    watch: async (labels, onOpen, onChange, signal) => {
      try {
        const stream = await untilAborted(
          signal,
          docker.getEvents({
            filters: { type: ['container'], event: [...watched], ...toFilter(labels) },
            abortSignal: signal,
          }),
        )
        onOpen()
        await untilAborted(signal, followEvents(stream, onChange))
      } catch (cause) {
        throw engineError('watch events', cause)
      }
    },
  }
}

/** Every field is given, so that dockerode takes none from the environment by itself. */
const connection = (address: EngineAddress): Docker.DockerOptions => {
  if ('socketPath' in address) return { socketPath: address.socketPath, host: undefined, protocol: undefined }
  const { host, port, tls } = address
  return { socketPath: undefined, host, port, protocol: tls ? 'https' : 'http', ...tls }
}

const failure = z.object({ statusCode: z.number().optional(), json: z.unknown().optional() })
const failureText = z.object({ message: z.string() })

/** What a failed call means: the engine's own words with a status, or no (usable) answer. */
const engineError = (what: string, cause: unknown): EngineRefused | EngineUnavailable => {
  if (isEngineError(cause)) return cause
  const { statusCode, json } = failure.safeParse(cause).data ?? {}
  if (statusCode === undefined) {
    return new EngineUnavailable(`the engine did not answer: ${what}`, { cause })
  }
  const said = failureText.safeParse(json)
  return new EngineRefused(statusCode, `${what}: ${said.success ? said.data.message : `status ${statusCode}`}`, {
    cause,
  })
}

/** Docker's words for a second removal of one container; no status of its own tells it from other conflicts. */
const isOnItsWay = (error: unknown): boolean =>
  isConflict(error) && error instanceof Error && /removal of container \S+ is already in progress/.test(error.message)

const followEvents = async (
  stream: NodeJS.ReadableStream,
  onChange: (change: ContainerChange) => void,
): Promise<void> => {
  for await (const line of createInterface({ input: stream })) {
    const event = eventLine.safeParse(JSON.parse(line))
    if (!event.success || !isWatched(event.data.Action)) continue
    onChange({ id: event.data.Actor.ID, action: event.data.Action, labels: event.data.Actor.Attributes })
  }
}

const pullLine = z.object({ error: z.string().optional() })

/** A pull answers 200 at once and tells of its failure in its last line. */
const followPull = async (stream: NodeJS.ReadableStream, signal: AbortSignal): Promise<void> => {
  for await (const line of createInterface({ input: stream, signal })) {
    if (line.trim() === '') continue
    const { error } = pullLine.parse(JSON.parse(line))
    if (error !== undefined) throw new EngineRefused(404, error)
  }
}
