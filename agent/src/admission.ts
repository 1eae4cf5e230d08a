import { statfs } from 'node:fs/promises'
import type { Config } from './config.ts'
import type { Engine } from './engine/engine.ts'
import { gpusOf, ofHost } from './labels.ts'
import { createLanes } from './lanes.ts'
import { AgentError } from './problems.ts'

/** Bytes free for whoever is not root, where `path` is; undefined when that cannot be told, as of another machine's path. */
export type FreeBytes = (path: string) => Promise<number | undefined>

export const freeBytes: FreeBytes = async path => {
  try {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  } catch {
    return undefined
  }
}

/**
 * The host's own last word on a new container. The gateway has reserved room for it; this is for what the gateway does
 * not see: a disk that has filled up since, containers that its rows do not know.
 */
export type Admission = {
  /** @throws `no-room` */
  check(): Promise<void>
  /**
   * Chooses GPUs that no other container of this host has, for one that `create` makes with them; meanwhile nobody else is
   * given any.
   * @throws `no-room` when there are not as many
   */
  withGpus<T>(count: number, create: (gpus: string[]) => Promise<T>): Promise<T>
}

/** Starts that wait for their choice at most. */
const waitingForGpus = 1000

export const createAdmission = (deps: {
  engine: Pick<Engine, 'list' | 'info'>
  hostId: string
  config: Pick<Config, 'slots' | 'gpus' | 'minFreeDiskBytes'>
  free?: FreeBytes
}): Admission => {
  const { engine, hostId, config } = deps
  const free = deps.free ?? freeBytes
  const lanes = createLanes(waitingForGpus)
  let rootDir: string | undefined

  const living = async () =>
    (await engine.list(ofHost(hostId))).filter(({ status }) => status !== 'exited' && status !== 'dead')

  return {
    check: async () => {
      const taken = await living()
      if (taken.length >= config.slots)
        throw new AgentError('no-room', { detail: `all of its ${config.slots} slots are taken` })
      rootDir ??= (await engine.info()).rootDir
      const bytes = await free(rootDir)
      if (bytes !== undefined && bytes < config.minFreeDiskBytes)
        throw new AgentError('no-room', {
          detail: `its disk is full: ${mib(bytes)} MiB are free, ${mib(config.minFreeDiskBytes)} are kept free`,
        })
    },
    withGpus: (count, create) =>
      count === 0
        ? create([])
        : lanes.run('gpus', async () => {
            const taken = new Set((await living()).flatMap(({ labels }) => gpusOf(labels)))
            const free = Array.from({ length: config.gpus }, (_, n) => String(n)).filter(gpu => !taken.has(gpu))
            if (free.length < count)
              throw new AgentError('no-room', { detail: `${free.length} of its GPUs are free, ${count} are needed` })
            return create(free.slice(0, count))
          }),
  }
}

const mib = (bytes: number): number => Math.floor(bytes / 2 ** 20)
