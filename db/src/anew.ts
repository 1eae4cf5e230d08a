import { and, eq } from 'drizzle-orm'
import type { Db } from './connect.ts'
import type { NewRuntime } from './runtimes.ts'
import { type RuntimeRow, runtimes } from './schema.ts'

/** Whether nothing of it has ever been on a host: it failed before that, for want of room say. */
export const hasNeverRun = ({ state, generation, reserved }: RuntimeRow): boolean =>
  state === 'failed' && generation === 0 && !reserved

/**
 * Has a runtime that has never run be as it is asked for now: who asked for more than any host has would else be kept to
 * that. One that was moved meanwhile is left as it is.
 */
export const askAnew = async (
  db: Db,
  { id }: Pick<RuntimeRow, 'id'>,
  { spec, needMemoryBytes, needCpuMillis, needGpus, labels, start }: NewRuntime,
): Promise<void> => {
  await db
    .update(runtimes)
    .set({ spec, needMemoryBytes, needCpuMillis, needGpus, labels, start })
    .where(
      and(eq(runtimes.id, id), eq(runtimes.state, 'failed'), eq(runtimes.generation, 0), eq(runtimes.reserved, false)),
    )
}
