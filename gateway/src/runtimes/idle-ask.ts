import { type Db, findHost, type HostView, noteUnused, type RuntimeRow } from '@porthole/db'
import type { Agents } from '../agents/client.ts'

/**
 * Milliseconds since the last use of a running runtime, as its host sees it. Undefined: it does not say.
 *
 * @throws AgentUnreachable, AgentRefused
 */
export const unusedMsOf = async (
  agents: Agents,
  host: HostView,
  row: RuntimeRow,
  signal?: AbortSignal,
): Promise<number | undefined> => {
  const facts = await agents.at(host).probe(row.id, signal)
  // Where the host has another one, or none, what it tells by heartbeat decides.
  return facts?.generation === row.generation && facts.state === 'running' ? facts.unusedMs : undefined
}

/**
 * A running runtime with its last use as its host sees it, or, where that cannot be asked within `ms`, as it is known.
 *
 * @returns undefined when it was moved meanwhile
 */
export const withLastUse = async (
  { db, agents }: { db: Db; agents: Agents },
  row: RuntimeRow,
  ms: number,
): Promise<RuntimeRow | undefined> => {
  const host = row.hostId === null ? undefined : await findHost(db, row.hostId)
  if (!host?.live) return row
  let late: NodeJS.Timeout | undefined
  const patience = new Promise<undefined>(resolve => {
    late = setTimeout(resolve, ms, undefined)
  })
  const asked = unusedMsOf(agents, host, row).catch(() => undefined)
  const unusedMs = await Promise.race([asked, patience])
  clearTimeout(late)
  return unusedMs === undefined ? row : (await noteUnused(db, row, unusedMs))?.row
}
