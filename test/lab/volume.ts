import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, readdir, readlink, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { LabHost } from './kit.ts'

/** Names of all volumes on a host's engine. */
export async function volumesOn({ docker }: Pick<LabHost, 'docker'>): Promise<string[]> {
  const { Volumes } = await docker.listVolumes()
  return (Volumes ?? []).map(({ Name }) => Name).sort()
}

/** Where a volume's files lie on this machine, which is the host's too; undefined while there is no such volume. */
export async function folderOfVolume({ docker }: Pick<LabHost, 'docker'>, name: string): Promise<string | undefined> {
  try {
    return (await docker.getVolume(name).inspect()).Mountpoint
  } catch (error) {
    if (error instanceof Error && 'statusCode' in error && error.statusCode === 404) return undefined
    throw error
  }
}

/** How much of a file of a volume there is by now; 0 for none. */
export async function bytesOf(host: Pick<LabHost, 'docker'>, volume: string, file: string): Promise<number> {
  const folder = await folderOfVolume(host, volume)
  if (folder === undefined) return 0
  try {
    return (await stat(join(folder, file))).size
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 0
    throw error
  }
}

/** Of names, kinds, modes, owners and contents of all that lies in a folder; made without the code that is tested. */
export async function digestOfFolder(folder: string): Promise<string> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = all.map(({ parentPath, name }) => join(parentPath, name)).sort()
  const hash = createHash('sha256')
  for (const path of [folder, ...paths]) {
    const entry = await lstat(path)
    const target = entry.isSymbolicLink() ? await readlink(path) : ''
    hash.update(JSON.stringify([relative(folder, path), entry.mode, entry.uid, entry.gid, target]))
    if (entry.isFile()) for await (const chunk of createReadStream(path)) hash.update(chunk)
  }
  return hash.digest('hex')
}
