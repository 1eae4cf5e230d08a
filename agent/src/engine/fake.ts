import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { Readable } from 'node:stream'
import { untilAborted } from './deadline.ts'
import type {
  Container,
  ContainerChange,
  ContainerRequest,
  ContainerStatus,
  Engine,
  Labels,
  Network,
} from './engine.ts'
import { EngineRefused, EngineUnavailable } from './errors.ts'

/** What a fake container does when it is started: runs until it is stopped, or ends by itself. */
export type Program = { log?: readonly string[]; exitCode?: number }

export type FakeOptions = {
  images?: readonly string[]
  /** Images that a pull would find. */
  registry?: readonly string[]
  program?: (request: ContainerRequest) => Program
  /** Thrown by the named call: a daemon that is down or refuses. */
  fault?: (call: keyof Engine) => Error | undefined
}

export type FakeEngine = Engine & {
  /** Makes a reference stand for another image than before, as a pull of a newer one would. */
  retag(reference: string): void
  /** Ends a running container from outside, as a crash would. */
  exit(name: string, exitCode: number): void
  /** What a container was made from. */
  requestOf(name: string): ContainerRequest | undefined
  readonly volumes: ReadonlyMap<string, Labels>
  /** Every call so far, in order. */
  readonly calls: readonly (keyof Engine)[]
}

type FakeContainer = {
  id: string
  imageId: string
  request: ContainerRequest
  status: ContainerStatus
  exitCode?: number
  log: string[]
}

/** Above the highest that Linux gives (PID_MAX_LIMIT): nobody's. */
const noPid = 2 ** 22 + 1

const refuse = (status: number, message: string): EngineRefused => new EngineRefused(status, message)

/** An engine in memory, for unit tests. Its containers are at 127.0.0.1. */
export const fakeEngine = (options: FakeOptions = {}): FakeEngine => {
  let madeImages = 0
  const newImage = () => `sha256:${String(++madeImages).padStart(64, '0')}`
  const images = new Map<string, string>((options.images ?? []).map(reference => [reference, newImage()]))
  const networks = new Map<string, Network>()
  const volumes = new Map<string, Labels>()
  /** A volume's directory, by its name: its own, or the device that it stands for. */
  const directories = new Map<string, string>()
  const containers = new Map<string, FakeContainer>()
  const calls: (keyof Engine)[] = []
  const changes = new EventEmitter<{ change: [ContainerChange]; [ended: `ended ${string}`]: [] }>()
  changes.setMaxListeners(0)

  const entered = async (call: keyof Engine): Promise<void> => {
    calls.push(call)
    const fault = options.fault?.(call)
    if (fault) throw fault
  }
  const found = (id: string): FakeContainer | undefined =>
    containers.get(id) ?? containers.values().find(one => one.request.name === id)
  const need = (id: string): FakeContainer => {
    const container = found(id)
    if (!container) throw refuse(404, `No such container: ${id}`)
    return container
  }
  const tell = (container: FakeContainer, action: ContainerChange['action']) =>
    changes.emit('change', { id: container.id, action, labels: container.request.labels })
  const end = (container: FakeContainer, exitCode: number) => {
    container.status = 'exited'
    container.exitCode = exitCode
    tell(container, 'die')
    changes.emit(`ended ${container.id}`)
  }
  const isRunning = (container: FakeContainer) => container.status === 'running' || container.status === 'paused'
  const hasLabels = (labels: Labels, wanted: Labels) =>
    Object.entries(wanted).every(([name, value]) => labels[name] === value)
  const summary = (container: FakeContainer) => ({
    id: container.id,
    name: container.request.name,
    labels: container.request.labels,
    status: container.status,
    ...(container.exitCode === undefined ? {} : { exitCode: container.exitCode }),
  })
  const full = (container: FakeContainer): Container => ({
    ...summary(container),
    env: Object.entries(container.request.env).map(([name, value]) => `${name}=${value}`),
    ...(isRunning(container) ? { address: '127.0.0.1', pid: noPid } : {}),
    published: Object.fromEntries(container.request.publish.map(port => [port, port])),
    imageId: container.imageId,
    volumes: container.request.volumes.map(({ name }) => ({ name, directory: ownDirectory(name) })),
  })

  const ownDirectory = (volume: string) => `/volumes/${volume}/_data`
  const contentOf = (container: FakeContainer) => {
    const volume = container.request.volumes[0]?.name ?? ''
    return directories.get(volume) ?? ownDirectory(volume)
  }
  /** What is in a directory, as a tar. */
  const contents = new Map<string, Buffer>()
  const emptyTar = Buffer.alloc(1024)

  return {
    volumes,
    calls,
    requestOf: name => found(name)?.request,
    exit: (name, exitCode) => end(need(name), exitCode),
    retag: reference => void images.set(reference, newImage()),

    info: async () => {
      await entered('info')
      return {
        version: 'fake',
        os: 'linux',
        arch: 'x86_64',
        rootDir: '/var/lib/docker',
        cpus: 2,
        memoryBytes: 8 * 2 ** 30,
      }
    },
    images: async () => {
      await entered('images')
      return [...images.keys()]
    },
    hasImage: async reference => {
      await entered('hasImage')
      return images.has(reference)
    },
    imageId: async reference => {
      await entered('imageId')
      return images.get(reference)
    },
    pull: async reference => {
      await entered('pull')
      if (!options.registry?.includes(reference)) throw refuse(404, `manifest for ${reference} not found`)
      images.set(reference, newImage())
    },
    ensureNetwork: async name => {
      await entered('ensureNetwork')
      const id = randomBytes(32).toString('hex')
      const network = networks.get(name) ?? { id, bridge: `br-${id.slice(0, 12)}` }
      networks.set(name, network)
      return network
    },
    findNetworks: async name => {
      await entered('findNetworks')
      const network = networks.get(name)
      return network ? [network] : []
    },
    readArchive: async id => {
      await entered('readArchive')
      return Readable.from([contents.get(contentOf(need(id))) ?? emptyTar])
    },
    writeArchive: async (id, _path, archive) => {
      const chunks: Buffer[] = []
      for await (const chunk of archive) chunks.push(Buffer.from(chunk))
      await entered('writeArchive')
      contents.set(contentOf(need(id)), Buffer.concat(chunks))
    },
    ensureVolume: async (name, labels, of) => {
      await entered('ensureVolume')
      const present = volumes.get(name)
      if (present) return present
      volumes.set(name, labels)
      if (of) directories.set(name, of.device)
      return labels
    },
    inspectVolume: async name => {
      await entered('inspectVolume')
      return volumes.get(name)
    },
    listVolumes: async wanted => {
      await entered('listVolumes')
      return [...volumes].filter(([, labels]) => hasLabels(labels, wanted)).map(([name, labels]) => ({ name, labels }))
    },
    removeVolume: async name => {
      await entered('removeVolume')
      if (containers.values().some(one => one.request.volumes.some(volume => volume.name === name))) {
        throw refuse(409, `volume ${name} is in use`)
      }
      volumes.delete(name)
      // What it stands for is not its own.
      directories.delete(name)
      contents.delete(ownDirectory(name))
    },
    create: async request => {
      await entered('create')
      const imageId = images.get(request.image)
      if (imageId === undefined) throw refuse(404, `No such image: ${request.image}`)
      if (found(request.name)) throw refuse(409, `The name ${request.name} is already in use`)
      const id = randomBytes(32).toString('hex')
      for (const { name } of request.volumes) if (!volumes.has(name)) volumes.set(name, {})
      containers.set(id, { id, imageId, request, status: 'created', log: [] })
      return id
    },
    start: async id => {
      await entered('start')
      const container = need(id)
      if (!networks.has(container.request.network)) throw refuse(404, `network ${container.request.network} not found`)
      const program = options.program?.(container.request) ?? {}
      container.log.push(...(program.log ?? []))
      container.status = 'running'
      delete container.exitCode
      tell(container, 'start')
      if (program.exitCode !== undefined) end(container, program.exitCode)
    },
    inspect: async id => {
      await entered('inspect')
      const container = found(id)
      return container && full(container)
    },
    rename: async (id, name) => {
      await entered('rename')
      const container = need(id)
      const holder = found(name)
      if (holder && holder !== container) throw refuse(409, `The name ${name} is already in use`)
      container.request = { ...container.request, name }
    },
    setWeight: async (id, weight) => {
      await entered('setWeight')
      const container = need(id)
      container.request = { ...container.request, cpuShares: weight }
    },
    list: async labels => {
      await entered('list')
      return [...containers.values()].filter(one => hasLabels(one.request.labels, labels)).map(summary)
    },
    stop: async id => {
      await entered('stop')
      const container = found(id)
      if (container && isRunning(container)) end(container, 143)
    },
    remove: async id => {
      await entered('remove')
      const container = found(id)
      if (!container) return
      if (isRunning(container)) end(container, 137)
      containers.delete(container.id)
      tell(container, 'destroy')
    },
    pause: async id => {
      await entered('pause')
      const container = need(id)
      if (container.status !== 'running') throw refuse(409, `container ${id} is not running`)
      container.status = 'paused'
      tell(container, 'pause')
    },
    unpause: async id => {
      await entered('unpause')
      const container = need(id)
      if (container.status !== 'paused') throw refuse(500, `container ${id} is not paused`)
      container.status = 'running'
      tell(container, 'unpause')
    },
    logs: async (id, lines) => {
      await entered('logs')
      const container = found(id)
      return container?.log
        .slice(-lines)
        .map(line => `${line}\n`)
        .join('')
    },
    waitForExit: async (id, signal) => {
      await entered('waitForExit')
      const container = need(id)
      try {
        if (isRunning(container)) await once(changes, `ended ${container.id}`, { signal })
      } catch (cause) {
        throw new EngineUnavailable(`wait for container ${id}`, { cause })
      }
      return container.exitCode ?? 0
    },
    watch: async (labels, onOpen, onChange, signal) => {
      await entered('watch')
      const listener = (change: ContainerChange) => {
        if (hasLabels(change.labels, labels)) onChange(change)
      }
      changes.on('change', listener)
      onOpen()
      try {
        await untilAborted(signal, new Promise<void>(() => undefined))
      } catch (cause) {
        throw new EngineUnavailable('watch events', { cause })
      } finally {
        changes.off('change', listener)
      }
    },
  }
}
