import { cpus, loadavg, totalmem } from 'node:os'
import type { Heartbeat, RuntimeFacts } from '@porthole/protocol'
import type { Logger } from 'pino'
import { type FreeBytes, freeBytes } from './admission.ts'
import type { Config } from './config.ts'
import type { Engine, EngineInfo } from './engine/engine.ts'

/** Milliseconds for which the engine's own facts are taken as still true; they cost it more than a list. */
const factsMs = 30_000
const maxImages = 1000

/** What a host tells of itself. Never rejects: what can't be read is told as such. */
export type Inventory = { take(): Promise<Heartbeat> }

type EngineFacts = { info: EngineInfo; images: string[]; readAt: number }

/**
 * @param now milliseconds of any clock that only moves forward
 */
export const createInventory = (deps: {
  engine: Pick<Engine, 'info' | 'images'>
  list: () => Promise<RuntimeFacts[]>
  config: Pick<Config, 'slots' | 'gpus' | 'labels' | 'memoryReserveBytes'>
  free?: FreeBytes
  log: Logger
  now?: () => number
}): Inventory => {
  const { engine, config, log } = deps
  const free = deps.free ?? freeBytes
  const now = deps.now ?? (() => performance.now())
  let known: EngineFacts | undefined
  let isReadable = true

  const engineFacts = async (): Promise<EngineFacts> => {
    if (known && now() - known.readAt < factsMs) return known
    const [info, images] = await Promise.all([engine.info(), engine.images()])
    known = { info, images, readAt: now() }
    return known
  }

  /**
   * Null when the engine can't be read: a fault is not an empty host. The containers last: what was read before a slow
   * engine told of its images would miss those that have started since, and they would be taken for gone.
   */
  const read = async (): Promise<RuntimeFacts[] | null> => {
    try {
      await engineFacts()
      const runtimes = await deps.list()
      if (!isReadable) log.info('engine can be read again')
      isReadable = true
      return runtimes
    } catch (err) {
      if (isReadable) log.error({ err }, 'engine can not be read')
      isReadable = false
      return null
    }
  }

  return {
    take: async (): Promise<Heartbeat> => {
      const runtimes = await read()
      const info = known?.info
      const diskFreeBytes = info && (await free(info.rootDir))
      return {
        capacity: {
          memoryBytes: Math.max(0, (info?.memoryBytes ?? totalmem()) - config.memoryReserveBytes),
          cpuMillis: (info?.cpus ?? cpus().length) * 1000,
          slots: config.slots,
          gpus: config.gpus,
        },
        load: loadavg()[0] ?? 0,
        engineVersion: info?.version ?? 'unknown',
        images: known?.images.slice(0, maxImages) ?? [],
        labels: { ...labelsOf(info), ...config.labels },
        ...(diskFreeBytes === undefined ? {} : { diskFreeBytes }),
        runtimes,
      }
    },
  }
}

const labelsOf = (info: EngineInfo | undefined): Record<string, string> =>
  info ? { os: info.os, arch: info.arch } : {}
