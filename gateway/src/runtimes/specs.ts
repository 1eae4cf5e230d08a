import type { Recipe } from '@porthole/protocol'
import { Problem } from '../problem.ts'
import type { IdleRules } from './idle-policy.ts'

/** A named recipe, what part of its limits a host sets aside for it, and what becomes of it unused. */
export type Spec = IdleRules & {
  recipe: Recipe
  /** Share of the memory limit that is reserved: browsers sit far below their limit nearly all of the time. */
  memoryShare: number
  /** Share of the CPU limit that is reserved. */
  cpuShare: number
  /** How many are kept started for new owners. */
  warm: WarmSize
}

/** Warm runtimes on each host, at most; `auto`: as many as new owners have lately asked for at once. */
export type WarmSize = number | 'auto'

/** The recipes there are. */
export type Specs = {
  /** @throws Problem `spec-not-found` */
  find(name: string): Spec
  /** Those that are kept warm. */
  warm(): Spec[]
  /** Ports of a spec, by name; undefined: there is no such spec (any more). */
  portsOf(name: string): Recipe['ports'] | undefined
}

const mebibytes = (n: number) => n * 1024 ** 2
const gibibytes = (n: number) => n * 1024 ** 3

/** Our own browser image (DESIGN section 7); which tag of it is the host's choice. */
const browser: Spec = {
  recipe: {
    name: 'browser',
    env: {},
    ports: { view: 6080, cdp: 9222, rpc: 8787 },
    health: { port: 'rpc', path: '/health' },
    volumePath: '/data',
    keyed: true,
    readOnlyRoot: true,
    tmpfs: { '/tmp': mebibytes(256), '/run': mebibytes(16) },
    shmBytes: gibibytes(2),
    memoryBytes: gibibytes(2),
    cpus: 2,
    pids: 1024,
    seccomp: 'browser',
    egress: 'internet',
    stopSeconds: 10,
    personal: { port: 'rpc', path: '/personal' },
  },
  memoryShare: 0.5,
  cpuShare: 0.05,
  warm: 0,
}

/** Seconds unused until a runtime is stopped, where nobody says anything else (DESIGN section 7). */
export const usualStopSeconds = 900

export const builtInSpecs: readonly Spec[] = [browser]
export const defaultSpec = browser.recipe.name

/**
 * @param own an operator's; one of a built-in's name replaces it
 * @param stopSeconds unused until one of a built-in spec is stopped; 0: never
 * @param warm how many of a built-in spec are kept warm
 */
export const createSpecs = (own: readonly Spec[] = [], stopSeconds = usualStopSeconds, warm: WarmSize = 0): Specs => {
  const idle = stopSeconds > 0 ? { stopAfter: stopSeconds } : {}
  const all = [...builtInSpecs.map(spec => ({ ...spec, idle, warm })), ...own]
  const byName = new Map(all.map(spec => [spec.recipe.name, spec]))
  return {
    find: name => {
      const spec = byName.get(name)
      if (!spec)
        throw new Problem('spec-not-found', {
          detail: `there is no spec ${JSON.stringify(name)}; there is ${[...byName.keys()].join(', ')}`,
          faults: [{ pointer: '#/spec', detail: 'unknown' }],
        })
      return spec
    },
    warm: () => [...byName.values()].filter(spec => spec.warm !== 0),
    portsOf: name => byName.get(name)?.recipe.ports,
  }
}
