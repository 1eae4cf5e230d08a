import { randomUUID } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Lab, LabHost } from '../lab/kit.ts'
import { folderOfVolume } from '../lab/volume.ts'
import type { Entry } from './history.ts'

/** Beside what the browser keeps. A cookie would not do: a browser that is killed loses those of the last half minute. */
const fileName = '.chaos-mark'

const isMissing = (error: unknown) => error instanceof Error && 'code' in error && error.code === 'ENOENT'

/** The mark in a volume; undefined: it has none. @throws when its engine does not answer */
export const markIn = async (host: Pick<LabHost, 'docker'>, volume: string): Promise<string | undefined> => {
  const folder = await folderOfVolume(host, volume)
  return folder === undefined ? undefined : await readMark(folder)
}

const readMark = async (folder: string): Promise<string | undefined> => {
  try {
    // An empty one is what a full disk has made of it.
    return (await readFile(join(folder, fileName), 'utf8')) || undefined
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** Reads the mark in a profile, and leaves one where there is none. Undefined: neither could be done. */
export const exchangeMark = async (
  { hosts, names }: { hosts: readonly Pick<LabHost, 'id' | 'docker'>[]; names: Lab['names'] },
  { host: id, ownerHash }: { host: string | null; ownerHash: string },
): Promise<Entry['mark']> => {
  const host = hosts.find(host => host.id === id)
  if (!host) return undefined
  try {
    const folder = await folderOfVolume(host, `${names.volumePrefix}${ownerHash}`)
    if (folder === undefined) return undefined
    const found = await readMark(folder)
    if (found !== undefined) return { found, left: found }
    const left = randomUUID()
    return (await writeMark(folder, left)) ? { found, left } : undefined
  } catch {
    // Its engine is away, or the volume goes just now: nothing was seen.
    return undefined
  }
}

const writeMark = async (folder: string, mark: string): Promise<boolean> => {
  const file = join(folder, fileName)
  try {
    await writeFile(file, mark)
    return true
  } catch {
    await rm(file, { force: true })
    return false
  }
}
