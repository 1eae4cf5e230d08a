import { type RuntimeRow, warmTenant } from '@porthole/db'
import type { Recipe, StartCommand } from '@porthole/protocol'
import { z } from 'zod'
import type { Mode } from '../identity/owner.ts'
import { viewUrl } from '../identity/view-url.ts'
import type { Seal } from '../tokens/seal.ts'
import type { Spec, Specs } from './specs.ts'

const envJson = z.record(z.string(), z.string())

/** An agent of before there were warm runtimes does not know where settings are taken late: told only where it may matter. */
const recipeOf = ({ recipe: { personal, ...recipe }, warm }: Spec): Recipe => ({
  ...recipe,
  ...(warm === 0 || personal === undefined ? {} : { personal }),
})

/** What the host is told to start, with the request's environment unsealed. */
export const startCommandOf = async (
  row: RuntimeRow,
  { base, specs, seal, deadlineMs }: { base: string; specs: Pick<Specs, 'find'>; seal: Seal; deadlineMs: number },
): Promise<StartCommand> => ({
  generation: row.generation,
  tenant: row.tenant,
  ownerHash: row.ownerHash,
  recipe: {
    ...recipeOf(specs.find(row.spec)),
    memoryBytes: row.start.memoryBytes,
    cpus: row.start.cpus,
    ...(row.start.gpus ? { gpus: row.start.gpus } : {}),
  },
  env: row.start.sealedEnv ? envJson.parse(JSON.parse(await seal.open('runtime-env', row.start.sealedEnv))) : {},
  // Nobody's yet: what is about an owner comes with one.
  ...(row.tenant === warmTenant ? { warm: true } : { viewUrl: viewUrl(base, row.mode as Mode, row.ownerHash) }),
  deadlineMs,
})
