import { readFile, stat } from 'node:fs/promises'
import type { Files } from './locate.ts'

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')

const unlessMissing = async <T>(work: Promise<T>): Promise<T | undefined> => {
  try {
    return await work
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** The machine's own file system. */
export const localFiles: Files = {
  read: path => unlessMissing(readFile(path, 'utf8')),
  isSocket: async path => (await unlessMissing(stat(path)))?.isSocket() ?? false,
}
