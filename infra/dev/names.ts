import { randomBytes } from 'node:crypto'
import type Docker from 'dockerode'
import { z } from 'zod'
import { readJson, writePrivateFile } from './files.ts'

/** What the names of this stack's containers and volumes begin with. */
export const prefixes = z.object({ containerPrefix: z.string().min(1), volumePrefix: z.string().min(1) })
export type Prefixes = z.infer<typeof prefixes>

const usual: Prefixes = { containerPrefix: 'browser-use-browser-', volumePrefix: 'browser-use-profile-' }

/** The usual prefixes with a mark behind them. */
const marked = (mark: string): Prefixes => ({
  containerPrefix: `${usual.containerPrefix}${mark}-`,
  volumePrefix: `${usual.volumePrefix}${mark}-`,
})

/** Which prefixes a new stack takes on an engine that has these names already. */
export const prefixesBeside = (taken: readonly string[], mark: string): Prefixes => {
  const isOurs = (name: string) => name.startsWith(usual.containerPrefix) || name.startsWith(usual.volumePrefix)
  return taken.some(isOurs) ? marked(mark) : usual
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
