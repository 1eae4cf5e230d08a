import { join } from 'node:path'
import { answeringEngine, leftoverDaemon } from '../docker/engine.ts'
import { clearHosts } from '../hosts/clear.ts'
import { stopLeftoverPostgres } from '../postgres/embedded.ts'
import { orderlyEnd } from './child.ts'
import { removeRunning, within } from './containers.ts'
import { endProcess } from './process-identity.ts'
import type { State } from './state.ts'

/** Where several hosts on this machine keep what is theirs. */
export const hostsDir = ({ dir }: Pick<State, 'dir'>): string => join(dir, 'hosts')

/**
 * Ends the processes that a killed run left behind. The next run needs only that: it takes over containers, database and
 * Docker daemon as they are. Resolves to whether there were any.
 */
export async function endLeftProcesses(state: State): Promise<boolean> {
  const { processes } = state.readRun()
  const before = state.readDev() !== undefined || processes.length > 0
  await Promise.all(processes.map(process => endProcess(process, orderlyEnd)))
  const postgres = await stopLeftoverPostgres(join(state.dir, 'postgres'))
  state.removeDev()
  return before || postgres
}

/** Ends everything that a killed run left behind, browsers and our Docker daemon too. */
export async function endLeftovers(state: State): Promise<boolean> {
  const { hostIds } = state.readRun()
  const processes = await endLeftProcesses(state)
  const engine = hostIds.length > 0 ? await answeringEngine() : undefined
  const containers = engine ? ((await within(20_000, removeRunning(engine.docker, hostIds))) ?? 0) : 0
  const hosts = await clearHosts(hostsDir(state))
  const daemon = leftoverDaemon(state.dir)
  await daemon?.stop()
  state.forgetRun()
  return processes || containers > 0 || hosts || daemon !== undefined
}
