import { createHash, randomBytes } from 'node:crypto'
import { existsSync, realpathSync } from 'node:fs'
import type Docker from 'dockerode'
import { z } from 'zod'
import { readJson, writePrivateFile } from './files.ts'

/** What the names of this stack's containers and volumes begin with. */
export const prefixes = z.object({ containerPrefix: z.string().min(1), volumePrefix: z.string().min(1) })
export type Prefixes = z.infer<typeof prefixes>

/** On an engine that nobody else uses. */
export const usualPrefixes: Prefixes = { containerPrefix: 'browser-use-browser-', volumePrefix: 'browser-use-profile-' }

/** 16 hex digits that tell what belongs to the stack in this folder from what belongs to another's, on one machine. */
export const markOf = (dir: string): string =>
  createHash('sha256')
    .update(existsSync(dir) ? realpathSync(dir) : dir)
    .digest('hex')
    .slice(0, 16)

/** The usual prefixes with a mark behind them. */
const marked = (mark: string): Prefixes => ({
  containerPrefix: `${usualPrefixes.containerPrefix}${mark}-`,
  volumePrefix: `${usualPrefixes.volumePrefix}${mark}-`,
})

/** Which prefixes a new stack takes on an engine that has these names already. */
export const prefixesBeside = (taken: readonly string[], mark: string): Prefixes => {
  const isOurs = (name: string) =>
    name.startsWith(usualPrefixes.containerPrefix) || name.startsWith(usualPrefixes.volumePrefix)
  return taken.some(isOurs) ? marked(mark) : usualPrefixes
}

/**
 * The prefixes of this stack, chosen at its first start and kept in `file`. Another stack's profiles (of another clone, or of
 * one whose folder was deleted) are never touched: where there are any, ours get names of their own beside them.
 */
export async function keepPrefixes(docker: Docker, file: string): Promise<Prefixes> {
  const kept = readJson(file, prefixes)
  if (kept) return kept
  const [containers, { Volumes: volumes }] = await Promise.all([
    docker.listContainers({ all: true }),
    docker.listVolumes(),
  ])
  const taken = [
    ...containers.flatMap(({ Names }) => Names.map(name => name.replace(/^\//, ''))),
    ...(volumes ?? []).map(({ Name }) => Name),
  ]
  const chosen = prefixesBeside(taken, randomBytes(3).toString('hex'))
  writePrivateFile(file, `${JSON.stringify(chosen)}\n`)
  return chosen
}

/** This machine's name as a host's name may be written: lower case letters, digits and inner hyphens, up to 63. */
export function hostNameOf(name: string): string {
  const short = name.toLowerCase().split('.', 1)[0] ?? ''
  const fit = short
    .replace(/[^a-z0-9-]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '')
  return fit || 'local'
}
