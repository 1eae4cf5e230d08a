import { recipe } from '@porthole/protocol'
import { z } from 'zod'
import type { Spec } from './specs.ts'

const mebibytes = (n: number) => n * 1024 ** 2

/** What an operator need not say: a small sandbox that writes nowhere but in /tmp. */
const modest = {
  env: {},
  health: null,
  volumePath: null,
  keyed: false,
  readOnlyRoot: true,
  tmpfs: { '/tmp': mebibytes(64) },
  shmBytes: mebibytes(64),
  memoryBytes: mebibytes(512),
  cpus: 1,
  pids: 256,
  seccomp: 'default',
  stopSeconds: 10,
}

const share = z.number().positive().max(1).default(1)
const shares = z.object({ memoryShare: share, cpuShare: share })
const name = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'a name is 1 to 64 of a-z, 0-9, ".", "_" and "-"')
const file = z.record(name, z.record(z.string(), z.unknown()))

/**
 * An operator's specs: a JSON object of recipes by name, each with what differs from a small sandbox, and with `memoryShare`
 * and `cpuShare` where less than its limits is to be reserved.
 *
 * @throws Error that says which spec is wrong, and where
 */
export const parseSpecs = (text: string): Spec[] => {
  const written = file.safeParse(jsonOf(text))
  if (!written.success) throw new Error(wordsOf(written.error))
  return Object.entries(written.data).map(([name, { memoryShare, cpuShare, ...given }]) => {
    const parsed = recipe.safeParse({ ...modest, ...given, name })
    if (!parsed.success) throw new Error(`${name}: ${wordsOf(parsed.error)}`)
    const { health, ports } = parsed.data
    if (health && !Object.hasOwn(ports, health.port)) throw new Error(`${name}: health: there is no such port`)
    const reserved = shares.safeParse({ memoryShare, cpuShare })
    if (!reserved.success) throw new Error(`${name}: ${wordsOf(reserved.error)}`)
    return { recipe: parsed.data, ...reserved.data }
  })
}

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('it is not JSON')
  }
}

const wordsOf = ({ issues }: z.ZodError): string =>
  issues
    .slice(0, 5)
    .map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(': '))
    .join('; ')
