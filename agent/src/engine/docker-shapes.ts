import type Docker from 'dockerode'
import { z } from 'zod'
import type { Container, ContainerRequest, ContainerStatus, ContainerSummary, Labels } from './engine.ts'

/** Docker's answers, as far as they are read. Podman leaves some fields out or null. */
const status = z.enum(['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'])
const labels = z
  .record(z.string(), z.string())
  .nullish()
  .transform(value => value ?? {})

export const infoAnswer = z.object({
  ServerVersion: z.string(),
  OSType: z.string(),
  Architecture: z.string(),
  NCPU: z.number(),
  DockerRootDir: z.string(),
  MemTotal: z.number(),
})

export const imageListAnswer = z.array(z.object({ RepoTags: z.array(z.string()).nullish() }))

export const imageAnswer = z.object({ Id: z.string() })

export const volumeAnswer = z.object({ Labels: labels })

export const volumeListAnswer = z.object({
  Volumes: z
    .array(z.object({ Name: z.string(), Labels: labels }))
    .nullish()
    .transform(value => value ?? []),
})

export const networkListAnswer = z.array(
  z.object({
    Id: z.string(),
    Name: z.string(),
    Labels: labels,
    Options: z.record(z.string(), z.string()).nullish(),
    Internal: z.boolean().nullish(),
  }),
)

export const waitAnswer = z.object({ StatusCode: z.number(), Error: z.object({ Message: z.string() }).nullish() })

const listEntry = z.object({
  Id: z.string(),
  /** Docker lists dead containers without a name. */
  Names: z.array(z.string()).nullable(),
  Labels: labels,
  State: z.string(),
  Status: z.string(),
})
export const listAnswer = z.array(listEntry)

const publishedPorts = z.record(z.string(), z.array(z.object({ HostPort: z.string() })).nullish()).nullish()
export const inspectAnswer = z.object({
  Id: z.string(),
  Name: z.string(),
  Image: z.string().optional(),
  /** Pid: 0 for one that does not run. */
  State: z.object({ Status: z.string(), ExitCode: z.number(), Pid: z.number().nullish() }),
  Config: z.object({ Labels: labels, Env: z.array(z.string()).nullish() }),
  NetworkSettings: z.object({
    Networks: z.record(z.string(), z.object({ IPAddress: z.string() })).nullish(),
    Ports: publishedPorts,
  }),
  /** Of other kinds than volumes some have no name. */
  Mounts: z.array(z.object({ Type: z.string(), Name: z.string().optional(), Source: z.string().optional() })).nullish(),
})

export const eventLine = z.object({
  Action: z.string(),
  Actor: z.object({ ID: z.string(), Attributes: labels }),
})

/** Podman also says `stopped`, `stopping` and `initialized`: read as what Docker would say. */
const podmanStatus: Readonly<Record<string, ContainerStatus>> = {
  stopped: 'exited',
  stopping: 'running',
  initialized: 'created',
  configured: 'created',
}

export const statusOf = (text: string): ContainerStatus => {
  const known = status.safeParse(text.toLowerCase())
  return known.success ? known.data : (podmanStatus[text.toLowerCase()] ?? 'dead')
}

const hasEnded = (state: ContainerStatus): boolean => state === 'exited' || state === 'dead'
const withoutSlash = (name: string): string => name.replace(/^\//, '')

/** A list entry has no exit code of its own, only a text such as `Exited (137) 3 minutes ago`. */
const exitCodeIn = (text: string): number | undefined => {
  const code = /^Exited \((\d+)\)/.exec(text)?.[1]
  return code === undefined ? undefined : Number(code)
}

export const toSummary = (entry: z.infer<typeof listEntry>): ContainerSummary => {
  const state = statusOf(entry.State)
  const exitCode = hasEnded(state) ? exitCodeIn(entry.Status) : undefined
  return {
    id: entry.Id,
    name: withoutSlash(entry.Names?.[0] ?? ''),
    labels: entry.Labels,
    status: state,
    ...(exitCode === undefined ? {} : { exitCode }),
  }
}

export const toContainer = (answer: z.infer<typeof inspectAnswer>): Container => {
  const state = statusOf(answer.State.Status)
  const address = Object.values(answer.NetworkSettings.Networks ?? {}).find(one => one.IPAddress !== '')?.IPAddress
  const published = Object.entries(answer.NetworkSettings.Ports ?? {}).flatMap(([key, bindings]) => {
    const hostPort = bindings?.[0]?.HostPort
    return hostPort === undefined ? [] : [[Number.parseInt(key, 10), Number(hostPort)] as const]
  })
  return {
    id: answer.Id,
    name: withoutSlash(answer.Name),
    labels: answer.Config.Labels,
    status: state,
    ...(hasEnded(state) ? { exitCode: answer.State.ExitCode } : {}),
    env: answer.Config.Env ?? [],
    ...(address === undefined ? {} : { address }),
    published: Object.fromEntries(published),
    ...(answer.State.Pid ? { pid: answer.State.Pid } : {}),
    ...(answer.Image === undefined ? {} : { imageId: answer.Image }),
    volumes: (answer.Mounts ?? []).flatMap(({ Type, Name, Source }) =>
      Type === 'volume' && Name !== undefined && Source !== undefined ? [{ name: Name, directory: Source }] : [],
    ),
  }
}

/** Log files are the one thing a container can fill without a limit of its own. */
const logRotation = { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } }

export const toCreateOptions = (request: ContainerRequest): Docker.ContainerCreateOptions => ({
  name: request.name,
  Image: request.image,
  ...(request.entrypoint ? { Entrypoint: [...request.entrypoint] } : {}),
  ...(request.command ? { Cmd: [...request.command] } : {}),
  ...(request.workingDir ? { WorkingDir: request.workingDir } : {}),
  Env: Object.entries(request.env).map(([name, value]) => `${name}=${value}`),
  Labels: { ...request.labels },
  ExposedPorts: Object.fromEntries(request.publish.map(port => [`${port}/tcp`, {}])),
  HostConfig: {
    NetworkMode: request.network,
    Mounts: request.volumes.map(({ name, path }) => ({ Type: 'volume', Source: name, Target: path })),
    Tmpfs: Object.fromEntries(
      Object.entries(request.tmpfs).map(([path, bytes]) => [path, `rw,nosuid,nodev,mode=1777,size=${bytes}`]),
    ),
    ReadonlyRootfs: request.readOnlyRoot,
    ShmSize: request.shmBytes,
    Memory: request.memoryBytes,
    // Equal to Memory: no swap on top of it, so that a reservation is what it says.
    MemorySwap: request.memoryBytes,
    NanoCpus: Math.round(request.cpus * 1e9),
    ...(request.cpuShares === undefined ? {} : { CpuShares: request.cpuShares }),
    // As `docker run --gpus device=0,1`: by name, as a number of them would give everybody the first ones. The engine needs
    // the vendor's container toolkit.
    ...(request.gpus?.length ? { DeviceRequests: [{ DeviceIDs: [...request.gpus], Capabilities: [['gpu']] }] } : {}),
    PidsLimit: request.pids,
    CapDrop: ['ALL'],
    SecurityOpt: [
      'no-new-privileges',
      ...(request.seccomp === 'default' ? [] : [`seccomp=${request.seccomp.profile}`]),
    ],
    PortBindings: Object.fromEntries(
      request.publish.map(port => [`${port}/tcp`, [{ HostIp: '127.0.0.1', HostPort: '' }]]),
    ),
    RestartPolicy: { Name: 'no' },
    Init: false,
    LogConfig: logRotation,
  },
})

export const toFilter = (wanted: Labels): { label: string[] } => ({
  label: Object.entries(wanted).map(([name, value]) => `${name}=${value}`),
})
