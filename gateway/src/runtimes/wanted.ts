import type { z } from '@hono/zod-openapi'
import type { IdlePolicy, NewRuntime, TenantRow } from '@porthole/db'
import { isForOwner } from '../house.ts'
import { type Mode, ownerHashOf, ownerOf } from '../identity/owner.ts'
import { Problem } from '../problem.ts'
import type { ensureBody } from '../routes/schemas.ts'
import type { Caller } from '../tokens/caller.ts'
import type { Seal } from '../tokens/seal.ts'
import { type AskedIdle, idlePolicyOf } from './idle-policy.ts'
import type { Specs } from './specs.ts'
import { warmFor } from './warm-kind.ts'

/** Most bytes of a request's environment, names and values together. */
const maxEnvBytes = 64 * 1024

const checkEnv = (env: Record<string, string>) => {
  const bytes = Object.entries(env).reduce((sum, [name, value]) => sum + Buffer.byteLength(name + value), 0)
  if (bytes <= maxEnvBytes) return
  const detail = `holds ${bytes} bytes; ${maxEnvBytes} are allowed`
  throw new Problem('invalid-request', { detail, faults: [{ pointer: '#/env', detail }] })
}

/**
 * The rules that a request names, for a runtime of whatever spec it finds; undefined: it names none.
 *
 * @returns what throws Problem `invalid-request` where that spec does not allow them, `spec-not-found` where it is gone
 */
export const idleAsked = (
  { idle, maxAge }: AskedIdle,
  specs: Pick<Specs, 'find'>,
): ((spec: string) => IdlePolicy) | undefined =>
  idle || maxAge !== undefined ? spec => idlePolicyOf(specs.find(spec), { idle, maxAge }) : undefined

/** Out of a caller and a parsed body: whose runtime, which recipe, how much. @throws Problem */
export const wantedFrom = async (
  caller: Caller,
  tenant: TenantRow,
  body: z.infer<typeof ensureBody>,
  { seal, specs }: { seal: Seal; specs: Pick<Specs, 'find'> },
): Promise<NewRuntime> => {
  const mode = body.mode ?? (tenant.mode as Mode)
  const owner = ownerOf(mode, body)
  if (!isForOwner(caller, { mode, owner }))
    throw new Problem('wrong-owner', { detail: 'the token is good for one owner, and the request names another' })
  const spec = specs.find(body.spec)
  checkEnv(body.env)
  const memoryBytes = body.resources.memoryMb ? body.resources.memoryMb * 1024 ** 2 : spec.recipe.memoryBytes
  const cpus = body.resources.cpus ?? spec.recipe.cpus
  const wanted = {
    tenant: tenant.slug,
    mode,
    owner,
    ownerHash: ownerHashOf(tenant.slug, mode, owner),
    spec: spec.recipe.name,
    needMemoryBytes: Math.ceil(memoryBytes * spec.memoryShare),
    needCpuMillis: Math.ceil(cpus * 1000 * spec.cpuShare),
    needGpus: body.resources.gpus,
    labels: body.labels,
    idle: idlePolicyOf(spec, body),
    start: {
      memoryBytes,
      cpus,
      ...(body.resources.gpus ? { gpus: body.resources.gpus } : {}),
      ...(body.placement.labels ? { require: body.placement.labels } : {}),
      ...(body.placement.policy ? { policy: body.placement.policy } : {}),
      ...(Object.keys(body.env).length > 0
        ? { sealedEnv: await seal.close('runtime-env', JSON.stringify(body.env)) }
        : {}),
    },
  }
  return { ...wanted, warm: warmFor(spec, wanted, body.env) }
}
