import { createHash } from 'node:crypto'
import type { NewRuntime, WarmKind } from '@porthole/db'
import type { Spec } from './specs.ts'

/** What a browser container may be told after it was started; of all else its programs have read when they began. */
const lateNames: ReadonlySet<string> = new Set(['OPENAI_BASE_URL', 'OPENAI_API_KEY', 'MODEL_DEFAULT'])

/** What a warm runtime of a spec is made from, as far as the gateway says; its host looks at the rest. */
const fingerprintOf = ({ recipe }: Spec): string =>
  createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 32)

/** What a runtime of a spec takes that asks for nothing else. */
const needOf = ({ recipe, memoryShare, cpuShare }: Spec): WarmKind['need'] => ({
  memoryBytes: Math.ceil(recipe.memoryBytes * memoryShare),
  cpuMillis: Math.ceil(recipe.cpus * 1000 * cpuShare),
  gpus: 0,
})

/** Those of a spec that are kept warm. */
export const warmKindOf = (spec: Spec): WarmKind => ({
  spec: spec.recipe.name,
  fingerprint: fingerprintOf(spec),
  need: needOf(spec),
})

/**
 * What a warm runtime has to have been made from to do for a request; undefined: none does. It has the spec's own limits and no GPU, and of a
 * request's environment it takes what a container can be told late.
 */
export const warmFor = (
  spec: Spec,
  { needMemoryBytes, needCpuMillis, needGpus, start }: Omit<NewRuntime, 'warm'>,
  env: Readonly<Record<string, string>>,
): string | undefined => {
  const { recipe } = spec
  if (spec.warm === 0 || needGpus > 0 || (recipe.gpus ?? 0) > 0) return undefined
  if (start.memoryBytes !== recipe.memoryBytes || start.cpus !== recipe.cpus) return undefined
  const { fingerprint, need } = warmKindOf(spec)
  if (needMemoryBytes !== need.memoryBytes || needCpuMillis !== need.cpuMillis) return undefined
  const mayTell = recipe.personal !== undefined
  return Object.keys(env).every(name => mayTell && lateNames.has(name)) ? fingerprint : undefined
}
