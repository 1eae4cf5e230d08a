import type { Readable } from 'node:stream'

/**
 * What the agent asks of a container engine. Two rooms implement it, `docker.ts` and `fake.ts`, and both pass
 * `engine-cases.ts`.
 *
 * Every method ends within a deadline of its own and throws `EngineUnavailable` (no answer) or `EngineRefused` (an
 * answer that is an error). Where something can be absent, `undefined` means that the engine said so; a fault never
 * reads as absence. Removing what is already gone succeeds.
 */
export interface Engine {
  info(): Promise<EngineInfo>
  /** Every tag on the host, such as `browser-use-browser-runtime:latest`. */
  images(): Promise<string[]>
  hasImage(reference: string): Promise<boolean>
  /** The id of the image that a reference stands for now. */
  imageId(reference: string): Promise<string | undefined>
  /** Fetches an image from its registry; ends early when `signal` is aborted. */
  pull(reference: string, signal: AbortSignal): Promise<void>
  /**
   * A bridge network without traffic between its containers. Refused when one of that name allows such traffic, or is
   * there twice and not ours (by `labels`) to remove; or when it is internal, which lets nothing out, and should not be.
   */
  ensureNetwork(name: string, labels: Labels, options?: { isInternal: boolean }): Promise<Network>
  /** All networks of that name: none, one, or twins. */
  findNetworks(name: string): Promise<Network[]>
  /**
   * Makes the volume when there is none of that name; gives the labels of the one that is there in the end.
   * @param options.device a directory of the engine's machine that the volume stands for, instead of one of its own
   */
  ensureVolume(name: string, labels: Labels, options?: { device: string }): Promise<Labels>
  /** A volume's labels. */
  inspectVolume(name: string): Promise<Labels | undefined>
  /** All volumes that carry every given label. */
  listVolumes(labels: Labels): Promise<VolumeSummary[]>
  removeVolume(name: string): Promise<void>
  /** Makes a container and gives its id. A name in use is `EngineRefused` with status 409. */
  create(request: ContainerRequest): Promise<string>
  start(id: string): Promise<void>
  inspect(id: string): Promise<Container | undefined>
  /** Gives a container in any state another name. The one it has is fine; one in use is `EngineRefused` with status 409. */
  rename(id: string, name: string): Promise<void>
  /** @param weight its share of a busy CPU beside others, as in `ContainerRequest.cpuShares` */
  setWeight(id: string, weight: number): Promise<void>
  /** All containers, running or not, that carry every given label. */
  list(labels: Labels): Promise<ContainerSummary[]>
  /** TERM, then KILL after `seconds`. A container that is not running, or gone, is a success. */
  stop(id: string, seconds: number): Promise<void>
  /** Removes the container in any state, with its anonymous volumes. */
  remove(id: string): Promise<void>
  pause(id: string): Promise<void>
  unpause(id: string): Promise<void>
  /**
   * What is at `path` in a container in any state, as a tar; whoever takes the stream reads or destroys it. Owners and
   * modes are as they are there.
   */
  readArchive(id: string, path: string): Promise<Readable>
  /** Unpacks a tar into the directory `path` of a container in any state, with owners and modes as in the tar. */
  writeArchive(id: string, path: string, archive: Readable): Promise<void>
  /** The last `lines` lines of standard output and error together, or undefined when the container is gone. */
  logs(id: string, lines: number): Promise<string | undefined>
  /** Resolves with the exit code once the container has ended; has no deadline but `signal`. */
  waitForExit(id: string, signal: AbortSignal): Promise<number>
  /**
   * Calls `onChange` whenever a container with these labels starts, ends, pauses or goes. Resolves when the engine
   * ends the stream, rejects when it can't be had, breaks or is aborted; `onOpen` is called once events will come.
   */
  watch(
    labels: Labels,
    onOpen: () => void,
    onChange: (change: ContainerChange) => void,
    signal: AbortSignal,
  ): Promise<void>
}

export type Labels = Readonly<Record<string, string>>

export type VolumeSummary = { name: string; labels: Labels }

export type Network = {
  id: string
  /** Its interface on the engine's machine. */
  bridge: string
}

export type EngineInfo = {
  version: string
  os: string
  arch: string
  /** Where it keeps its data, on its own machine. */
  rootDir: string
  cpus: number
  memoryBytes: number
}

/** The share of a CPU that every container has unless it asks for another. */
export const usualWeight = 1024

/** As Docker calls them. */
export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead'

export type ContainerSummary = {
  id: string
  name: string
  labels: Labels
  status: ContainerStatus
  /** Only when it has ended. */
  exitCode?: number
}

export type Container = ContainerSummary & {
  /** `Config.Env` as Docker gives it. */
  env: readonly string[]
  /** Address on its network, when it has one. */
  address?: string
  /** Container port → port on the host's loopback, for those that are published. */
  published: Readonly<Record<number, number>>
  /** Its first process, by the number that it has on the engine's machine; only while there is one. */
  pid?: number
  /** Of the image it was made from, where the engine tells. */
  imageId?: string
  /** The volumes that it has: their names, and where their directories are on the engine's machine. */
  volumes: readonly { name: string; directory: string }[]
}

export type ContainerChange = {
  id: string
  action: 'start' | 'die' | 'pause' | 'unpause' | 'destroy'
  labels: Labels
}

/** Everything a container is made from. Sizes are bytes. */
export type ContainerRequest = {
  name: string
  image: string
  entrypoint?: readonly string[]
  command?: readonly string[]
  workingDir?: string
  env: Readonly<Record<string, string>>
  labels: Labels
  network: string
  volumes: readonly { name: string; path: string }[]
  tmpfs: Readonly<Record<string, number>>
  readOnlyRoot: boolean
  shmBytes: number
  memoryBytes: number
  cpus: number
  /** Its share of a CPU that others want too; absent: `usualWeight`. */
  cpuShares?: number
  /** The GPUs that it sees, by the engine's names for them; absent: none. */
  gpus?: readonly string[]
  pids: number
  /** Docker's own default profile, or the JSON text of another. */
  seccomp: 'default' | { profile: string }
  /** Container ports to publish on the host's loopback, on ports that the engine picks. */
  publish: readonly number[]
}
