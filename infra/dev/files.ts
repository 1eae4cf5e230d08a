import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import type { z } from 'zod'

/** Writes a file that only this user can read, whole or not at all: temporary file, fsync, rename. */
export function writePrivateFile(path: string, text: string): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`
  const file = openSync(temporary, 'wx', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
}

/** The parsed JSON of a file; undefined when it is missing or does not fit (an older version's, say). */
export function readJson<T>(path: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    return undefined
  }
}

/** The secret kept in this file, made on first use: 32 random bytes as hex. */
export function keptSecret(path: string): string {
  try {
    const secret = readFileSync(path, 'utf8').trim()
    if (secret.length >= 32) return secret
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  const secret = randomBytes(32).toString('hex')
  writePrivateFile(path, secret)
  return secret
}

/** The last lines of a log; '' when there is none. Reads at most its last 16 KiB. */
export function tailOf(path: string, lines = 15): string {
  try {
    const file = openSync(path, 'r')
    try {
      const bytes = Buffer.alloc(16_384)
      const read = readSync(file, bytes, 0, bytes.length, Math.max(0, fstatSync(file).size - bytes.length))
      return bytes.toString('utf8', 0, read).trimEnd().split('\n').slice(-lines).join('\n')
    } finally {
      closeSync(file)
    }
  } catch {
    return ''
  }
}

/** A descriptor to append to a log that only this user can read; one grown over 10 MB is set aside as `.old` first. */
export function openLog(path: string): number {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 10_000_000) renameSync(path, `${path}.old`)
  return openSync(path, 'a', 0o600)
}

export const removeFile = (path: string): void => rmSync(path, { force: true })

export const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'
