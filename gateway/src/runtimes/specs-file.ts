import { recipe } from '@porthole/protocol'
import { z } from 'zod'
import { beyond, disorderIn, idleFields, inOrder, policyFrom } from './idle-policy.ts'
import { type Spec, usualStopSeconds } from './specs.ts'

/** How many warm runtimes of a spec each host may have. */
export const warmSize = z.union([z.literal('auto'), z.int().min(0).max(100)])

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
const limit = z.int().min(10).optional()
const rules = z.object({
  memoryShare: share,
  cpuShare: share,
  warm: warmSize.default(0),
  ...idleFields,
  atMost: z.strictObject({ pauseAfter: limit, stopAfter: limit, deleteAfter: limit, maxAge: limit }).default({}),
})
const name = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'a name is 1 to 64 of a-z, 0-9, ".", "_" and "-"')
const file = z.record(name, z.record(z.string(), z.unknown()))

/**
 * An operator's specs: a JSON object of recipes by name, each with what differs from a small sandbox; with `memoryShare`
 * and `cpuShare` where less than its limits is to be reserved; with `warm`, how many are kept started on each host; with `idle` and `maxAge` as in a request, and `atMost`, what
 * requests may say of those.
 *
 * @param stopSeconds unused until a runtime is stopped whose spec does not say; 0: never
 * @throws Error that says which spec is wrong, and where
 */
export const parseSpecs = (text: string, stopSeconds = usualStopSeconds): Spec[] => {
  const written = file.safeParse(jsonOf(text))
  if (!written.success) throw new Error(wordsOf(written.error))
  return Object.entries(written.data).map(([name, { memoryShare, cpuShare, warm, idle, maxAge, atMost, ...given }]) => {
    const parsed = recipe.safeParse({ ...modest, ...given, name })
    if (!parsed.success) throw new Error(`${name}: ${wordsOf(parsed.error)}`)
    const { health, ports } = parsed.data
    if (health && !Object.hasOwn(ports, health.port)) throw new Error(`${name}: health: there is no such port`)
    const ruled = rules.safeParse({ memoryShare, cpuShare, warm, idle, maxAge, atMost })
    if (!ruled.success) throw new Error(`${name}: ${wordsOf(ruled.error)}`)
    return {
      recipe: parsed.data,
      memoryShare: ruled.data.memoryShare,
      cpuShare: ruled.data.cpuShare,
      warm: ruled.data.warm,
      ...idleRulesOf(name, ruled.data, stopSeconds),
    }
  })
}

/** Where a spec says nothing: as usual, and no more than a request may. @throws Error */
const idleRulesOf = (
  name: string,
  { idle, maxAge, atMost }: Omit<z.infer<typeof rules>, 'memoryShare' | 'cpuShare' | 'warm'>,
  stopSeconds: number,
): Pick<Spec, 'idle' | 'atMost'> => {
  const limits = policyFrom({ idle: atMost, maxAge: atMost.maxAge })
  const usual = stopSeconds > 0 ? Math.min(stopSeconds, limits.stopAfter ?? stopSeconds) : limits.stopAfter
  const policy = inOrder(policyFrom({ idle, maxAge }, { ...limits, ...(usual ? { stopAfter: usual } : {}) }), idle)
  const [over] = beyond(policy, limits)
  if (over) throw new Error(`${name}: ${over.key}: atMost is ${over.limit}`)
  const disorder = disorderIn(policy)
  if (disorder) throw new Error(`${name}: idle: ${disorder[0]} must be less than ${disorder[1]}`)
  return { idle: policy, atMost: limits }
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
