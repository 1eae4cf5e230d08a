import { access, constants, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Where the kernel is read and told. Tests give folders of plain files. */
export type KernelFolders = { proc: string; cgroup: string }

export const kernelFolders: KernelFolders = { proc: '/proc', cgroup: '/sys/fs/cgroup' }

/** The cgroup that counts a container's memory. */
export type MemoryGroup = { version: 1 | 2; directory: string }

/** Why the memory of a container can't be written to swap; plain words for the log. */
export type LeftAlone = { leftAlone: string }

/** Whether this machine has any swap. False where there is no such file: not Linux. */
export const hasSwap = async ({ proc }: KernelFolders): Promise<boolean> => {
  const text = await orNothing(readFile(join(proc, 'swaps'), 'utf8'))
  // The first line says what the columns are.
  return text !== undefined && text.trim().split('\n').length > 1
}

/**
 * The cgroup of a container. An engine that is elsewhere, or in a virtual machine, names processes that are not here, or are
 * somebody else's: what counts is that the cgroup of that process carries the container's id.
 * @param container.id the engine's full id
 * @throws when the kernel's files can't be read, other than for being absent
 */
export const memoryGroupOf = async (
  { id, pid }: { id: string; pid?: number },
  folders: KernelFolders,
): Promise<MemoryGroup | LeftAlone> => {
  if (!/^[0-9a-f]{64}$/.test(id)) return { leftAlone: 'the engine gives it no id that a cgroup could carry' }
  if (pid === undefined) return { leftAlone: 'the engine tells no process of it' }
  const text = await orNothing(readFile(join(folders.proc, String(pid), 'cgroup'), 'utf8'))
  if (text === undefined) return { leftAlone: 'its process is not on this machine: the engine is elsewhere' }
  const line = memoryLine(text)
  const path = line && pathOfContainer(line.path, id)
  if (!line || path === undefined) {
    return { leftAlone: "the process of that number has no cgroup of the container's: the engine is elsewhere" }
  }
  const group: MemoryGroup = { version: line.version, directory: join(folders.cgroup, line.mount, path) }
  if (await isThere(join(group.directory, reclaimFile(group)))) return group
  return { leftAlone: `there is no ${reclaimFile(group)} for it: cgroup v2 has one from Linux 5.19 on` }
}

/** What is written to for reclaim. */
export const reclaimFile = ({ version }: Pick<MemoryGroup, 'version'>): string =>
  version === 1 ? 'memory.force_empty' : 'memory.reclaim'

/** Bytes that a container has in memory now. */
export const residentBytes = async ({ version, directory }: MemoryGroup): Promise<number> =>
  Number(await readFile(join(directory, version === 1 ? 'memory.usage_in_bytes' : 'memory.current'), 'utf8'))

type Line = { version: 1 | 2; mount: string; path: string }

/**
 * The line of /proc/<pid>/cgroup (cgroups(7)) that is about memory. On a machine that has both versions mounted the first one
 * counts it, if it lists it at all.
 */
const memoryLine = (text: string): Line | undefined => {
  const lines = text.split('\n').flatMap(line => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    return controllers === undefined || path === undefined ? [] : [{ controllers, path }]
  })
  const first = lines.find(({ controllers }) => controllers.split(',').includes('memory'))
  if (first) return { version: 1, mount: 'memory', path: first.path }
  const second = lines.find(({ controllers }) => controllers === '')
  return second && { version: 2, mount: '', path: second.path }
}

/** As far as the part that carries the id: its limits are there, also where processes sit in a cgroup below it. */
const pathOfContainer = (path: string, id: string): string | undefined => {
  const parts = path.split('/')
  const at = parts.findIndex(part => part.includes(id))
  // From inside another cgroup namespace paths go up and out of what is mounted here.
  return at < 0 || parts.includes('..') ? undefined : parts.slice(0, at + 1).join('/')
}

const isThere = (path: string): Promise<boolean> =>
  access(path, constants.F_OK).then(
    () => true,
    () => false,
  )

/** Undefined when there is no such file, or its process ended while it was read. */
const orNothing = async (work: Promise<string>): Promise<string | undefined> => {
  try {
    return await work
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return undefined
    throw error
  }
}
