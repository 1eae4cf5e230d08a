import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { VolumeDigest } from '@porthole/protocol'
import type { FreeBytes } from './admission.ts'
import { createBackings } from './backings.ts'
import type { ContainerDefaults } from './config.ts'
import { volumeName } from './containers.ts'
import type { ContainerRequest, Engine, Labels } from './engine/engine.ts'
import { cutWhenIdle } from './idle-cut.ts'
import { backingOf, copyLabels, isVolumeOf, ofHost, ownerHashOf, volumeLabels } from './labels.ts'
import { createLanes } from './lanes.ts'
import { AgentError } from './problems.ts'
import { digestOf } from './volume-digest.ts'

/** Whose volume. */
export type VolumeOwner = { tenant: string; ownerHash: string }

/**
 * Profiles that move between hosts. Nothing is read or written while a container has the volume, and one volume is worked
 * on at a time. All throw `wrong-state` for one that is in use, `name-taken` for one that is somebody else's.
 */
export type Volumes = {
  /** The volume as a tar. The lane is held until the stream has ended or is destroyed. @throws `not-found` */
  read(owner: VolumeOwner): Promise<Readable>
  /** @throws `not-found` */
  digest(owner: VolumeOwner): Promise<VolumeDigest>
  /**
   * Makes the volume of what the tar holds, and reads it back. Nothing is left of one that broke off. One that is there is
   * never replaced: the archive may be a late one, and the volume somebody's profile by now.
   * @throws `no-room` when the disk would be full, `wrong-state` when there is such a volume
   */
  write(owner: VolumeOwner, archive: Readable): Promise<VolumeDigest>
  /**
   * Removes the volume, the one behind it where there is one, and whatever copier has it. Fine when there is none.
   * @param owner without a tenant, whoever's of that name on this host
   * @throws `busy` when it is worked on for long: what would be removed later may be something else
   */
  remove(owner: Pick<VolumeOwner, 'ownerHash'> & Partial<VolumeOwner>): Promise<void>
  /**
   * Removes what an agent before this one left when it died in the middle of a copy: a container that never ran, without
   * which its volume can be removed again; and volumes of containers that never had an owner and are gone. Before anything
   * else is asked for.
   * @returns how many copies there were
   */
  clear(): Promise<number>
}

const waitingPerVolume = 4
/** Milliseconds without a byte after which whoever reads or writes a volume is taken to be gone. */
const usualIdleMs = 30_000
/** Milliseconds that a removal waits for its turn. The gateway counts on it: see its removal lease. */
const usualTurnMs = 30_000
/** Bytes between two looks at the disk while a volume is written. */
const lookEvery = 32 * 2 ** 20
/** Read with its own name and written from above it: Docker leaves the directory that it unpacks into as it is. */
const mountPath = '/volume'

export const createVolumes = (deps: {
  engine: Engine
  hostId: string
  defaults: Pick<ContainerDefaults, 'volumePrefix' | 'image'>
  /** What is to stay free on the engine's disk; absent: a volume may fill it. */
  disk?: { free: FreeBytes; leastBytes: number }
  idleMs?: number
  turnMs?: number
}): Volumes => {
  const { engine, hostId, defaults, disk, idleMs = usualIdleMs, turnMs = usualTurnMs } = deps
  const lanes = createLanes(waitingPerVolume)
  const backings = createBackings(engine, hostId)

  /** The owner's containers, running or not. */
  const usersOf = async ({ ownerHash }: Pick<VolumeOwner, 'ownerHash'>) =>
    (await engine.list(ofHost(hostId))).filter(({ labels, name }) => ownerHashOf(labels, name) === ownerHash)

  /** @returns the volume's labels, if there is such a volume of this owner's */
  const check = async (owner: Parameters<Volumes['remove']>[0]): Promise<Labels | undefined> => {
    if ((await usersOf(owner)).some(({ status }) => status !== 'exited' && status !== 'dead'))
      throw new AgentError('wrong-state', { detail: 'a container has the volume' })
    const name = volumeName(defaults, owner.ownerHash)
    const labels = await engine.inspectVolume(name)
    if (labels === undefined) return undefined
    if (!isVolumeOf(labels, hostId, owner) || (await backings.isTaken(name, labels)))
      throw new AgentError('name-taken', { detail: `the volume ${name} was not made by this host for this owner` })
    return labels
  }

  const need = async (owner: VolumeOwner): Promise<void> => {
    if (!(await check(owner))) throw new AgentError('not-found', { detail: 'there is no such volume' })
  }

  /** A container that is never started: Docker reads and writes volumes through one. */
  const withCopier = async <T>(owner: VolumeOwner, work: (id: string) => Promise<T>): Promise<T> => {
    const volume = volumeName(defaults, owner.ownerHash)
    const request = copierOf(volume, defaults.image, copyLabels(hostId))
    const id = await engine.create(request)
    try {
      return await work(id)
    } finally {
      await engine.remove(id)
    }
  }

  const readBack = (owner: VolumeOwner): Promise<VolumeDigest> =>
    withCopier(owner, async id => digestOf(cutWhenIdle(await engine.readArchive(id, mountPath), idleMs)))

  const drop = async ({ ownerHash }: Pick<VolumeOwner, 'ownerHash'>): Promise<void> =>
    engine.removeVolume(volumeName(defaults, ownerHash))

  const inLane = <T>(
    { ownerHash }: Pick<VolumeOwner, 'ownerHash'>,
    work: () => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> =>
    lanes.run(
      ownerHash,
      async () => {
        // One that an agent left behind when it died.
        const name = copierName(volumeName(defaults, ownerHash))
        for (const left of await engine.list(copyLabels(hostId))) if (left.name === name) await engine.remove(left.id)
        return work()
      },
      signal,
    )

  /** @throws `no-room` */
  const needDisk = async (): Promise<void> => {
    const bytes = disk && (await disk.free((await engine.info()).rootDir))
    if (disk && bytes !== undefined && bytes < disk.leastBytes)
      throw new AgentError('no-room', {
        detail: `its disk is full: ${bytes} bytes are free, ${disk.leastBytes} stay so`,
      })
  }

  /** Unpacks an archive into a volume, as long as the disk has room. */
  const unpack = async (id: string, archive: Readable): Promise<void> => {
    let refusal: unknown
    const measured = async function* (source: AsyncIterable<Buffer>) {
      let sinceLook = 0
      for await (const chunk of source) {
        sinceLook += chunk.length
        if (sinceLook >= lookEvery) {
          sinceLook = 0
          await needDisk().catch(error => {
            refusal = error
            throw error
          })
        }
        yield chunk
      }
    }
    const passing = Readable.from(measured(cutWhenIdle(archive, idleMs)), { objectMode: false })
    try {
      await engine.writeArchive(id, '/', passing)
    } catch (error) {
      // The engine's words for it are that the archive broke off.
      throw refusal ?? error
    } finally {
      passing.destroy()
    }
  }

  return {
    read: owner => {
      const opened = Promise.withResolvers<Readable>()
      inLane(owner, async () => {
        await need(owner)
        await withCopier(owner, async id => {
          const archive = cutWhenIdle(await engine.readArchive(id, mountPath), idleMs)
          opened.resolve(archive)
          // Whoever reads it sees how it ended; here it only matters that it has.
          await finished(archive).catch(() => undefined)
        })
      }).catch(opened.reject)
      return opened.promise
    },
    digest: owner =>
      inLane(owner, async () => {
        await need(owner)
        return readBack(owner)
      }),
    write: (owner, archive) =>
      inLane(owner, async () => {
        if (await check(owner)) throw new AgentError('wrong-state', { detail: 'there is such a volume already' })
        await needDisk()
        await engine.ensureVolume(volumeName(defaults, owner.ownerHash), volumeLabels(hostId, owner))
        try {
          await withCopier(owner, id => unpack(id, archive))
          return await readBack(owner)
        } catch (error) {
          await drop(owner)
          throw error
        }
      }),
    remove: owner =>
      inLane(
        owner,
        async () => {
          const labels = await check(owner)
          if (!labels) return
          const behind = backingOf(labels)
          // The engine keeps a volume for whoever has it; a container that was claimed has the one behind, and not this one.
          if (behind !== undefined && (await usersOf(owner)).length > 0)
            throw new AgentError('wrong-state', { detail: 'a container that has ended still has the volume' })
          // First: as long as the owner's volume is there it says what is behind it, to whoever has to try again.
          if (behind !== undefined) await engine.removeVolume(behind)
          await drop(owner)
        },
        tooLong(turnMs),
      ),
    clear: async () => {
      const left = await engine.list(copyLabels(hostId))
      for (const { id } of left) await engine.remove(id)
      await backings.clear()
      return left.length
    },
  }
}

/** Ends a wait for a turn. */
const tooLong = (ms: number): AbortSignal => {
  const over = new AbortController()
  setTimeout(() => over.abort(new AgentError('busy', { detail: 'the volume is being read or written' })), ms).unref()
  return over.signal
}

const copierName = (volume: string): string => `${volume}-copy`

const copierOf = (volume: string, image: string, labels: ContainerRequest['labels']): ContainerRequest => ({
  name: copierName(volume),
  image,
  entrypoint: ['/nothing'],
  env: {},
  labels,
  network: 'none',
  volumes: [{ name: volume, path: mountPath }],
  tmpfs: {},
  readOnlyRoot: false,
  shmBytes: 2 ** 20,
  memoryBytes: 2 ** 24,
  cpus: 0.1,
  pids: 1,
  seccomp: 'default',
  publish: [],
})
