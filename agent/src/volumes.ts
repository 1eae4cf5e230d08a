import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { VolumeDigest } from '@porthole/protocol'
import type { ContainerDefaults } from './config.ts'
import { volumeName } from './containers.ts'
import type { ContainerRequest, Engine } from './engine/engine.ts'
import { cutWhenIdle } from './idle-cut.ts'
import { copyLabels, isVolumeOf, ofOwner, volumeLabels } from './labels.ts'
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
  /** Replaces the volume by what the tar holds, and reads it back. Nothing is left of one that broke off. */
  write(owner: VolumeOwner, archive: Readable): Promise<VolumeDigest>
  remove(owner: VolumeOwner): Promise<void>
  /**
   * Removes what an agent before this one left when it died in the middle of a copy: a container that never ran, without
   * which its volume can be removed again. Before anything else is asked for.
   * @returns how many there were
   */
  clear(): Promise<number>
}

const waitingPerVolume = 4
/** Milliseconds without a byte after which whoever reads or writes a volume is taken to be gone. */
const usualIdleMs = 30_000
/** Read with its own name and written from above it: Docker leaves the directory that it unpacks into as it is. */
const mountPath = '/volume'

export const createVolumes = (deps: {
  engine: Engine
  hostId: string
  defaults: Pick<ContainerDefaults, 'volumePrefix' | 'image'>
  idleMs?: number
}): Volumes => {
  const { engine, hostId, defaults, idleMs = usualIdleMs } = deps
  const lanes = createLanes(waitingPerVolume)

  /** @returns whether there is such a volume of this owner's */
  const check = async (owner: VolumeOwner): Promise<boolean> => {
    const users = await engine.list(ofOwner(hostId, owner.ownerHash))
    if (users.some(({ status }) => status !== 'exited' && status !== 'dead'))
      throw new AgentError('wrong-state', { detail: 'a container has the volume' })
    const name = volumeName(defaults, owner.ownerHash)
    const labels = await engine.inspectVolume(name)
    if (labels !== undefined && !isVolumeOf(labels, hostId, owner))
      throw new AgentError('name-taken', { detail: `the volume ${name} was not made by this host for this owner` })
    return labels !== undefined
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

  const drop = async ({ ownerHash }: VolumeOwner): Promise<void> => engine.removeVolume(volumeName(defaults, ownerHash))

  const inLane = <T>({ ownerHash }: VolumeOwner, work: () => Promise<T>): Promise<T> =>
    lanes.run(ownerHash, async () => {
      // One that an agent left behind when it died.
      const name = copierName(volumeName(defaults, ownerHash))
      for (const left of await engine.list(copyLabels(hostId))) if (left.name === name) await engine.remove(left.id)
      return work()
    })

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
        if (await check(owner)) await drop(owner)
        await engine.ensureVolume(volumeName(defaults, owner.ownerHash), volumeLabels(hostId, owner))
        try {
          await withCopier(owner, id => engine.writeArchive(id, '/', cutWhenIdle(archive, idleMs)))
          return await readBack(owner)
        } catch (error) {
          await drop(owner)
          throw error
        }
      }),
    remove: owner =>
      inLane(owner, async () => {
        if (await check(owner)) await drop(owner)
      }),
    clear: async () => {
      const left = await engine.list(copyLabels(hostId))
      for (const { id } of left) await engine.remove(id)
      return left.length
    },
  }
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
