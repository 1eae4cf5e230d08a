import type { RuntimeRow } from '@porthole/db'
import type { StartCommand } from '@porthole/protocol'
import { z } from 'zod'
import type { Seal } from '../tokens/seal.ts'
import { urlsOf } from './present.ts'
import { findSpec } from './specs.ts'

const envJson = z.record(z.string(), z.string())

/** What the host is told to start, with the request's environment unsealed. */
export const startCommandOf = async (
  row: RuntimeRow,
  { base, seal, deadlineMs }: { base: string; seal: Seal; deadlineMs: number },
): Promise<StartCommand> => ({
  generation: row.generation,
  tenant: row.tenant,
  ownerHash: row.ownerHash,
  recipe: {
    ...findSpec(row.spec).recipe,
    memoryBytes: row.start.memoryBytes,
    cpus: row.start.cpus,
    ...(row.start.gpus ? { gpus: row.start.gpus } : {}),
  },
  env: row.start.sealedEnv ? envJson.parse(JSON.parse(await seal.open('runtime-env', row.start.sealedEnv))) : {},
  viewUrl: urlsOf(base, row).view,
  deadlineMs,
})
