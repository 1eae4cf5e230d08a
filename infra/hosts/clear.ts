import { existsSync } from 'node:fs'
import { readdir, readFile, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { endProcess, identify, type Step } from '../dev/process-identity.ts'
import { orderlyStop } from '../docker/daemon.ts'
import { removeBridge } from './bridge.ts'
import { mountsUnder } from './mounts.ts'
import { findNamespaces, type Occupant, occupantsOf, removeNamespace } from './namespace.ts'
import { type Naming, namingOf } from './naming.ts'
import { attempt, system } from './system.ts'

const kill: readonly Step[] = [['SIGKILL', 5_000]]

/**
 * Ends and removes whatever there is of the hosts of a folder, also what a killed run has left: engines, containers, mounts,
 * namespaces, bridge and rules. What the engines have stored stays. Resolves to whether there was anything.
 * @param steps how engines are ended; they stop their containers on TERM
 * @throws AggregateError what could not be removed, with everything else gone
 */
export async function clearHosts(dir: string, steps: readonly Step[] = orderlyStop): Promise<boolean> {
  const naming = namingOf(dir)
  const spaces = await findNamespaces(naming)
  const hasBridge = await attempt('ip', ['link', 'show', naming.bridge])
  if (spaces.length === 0 && !hasBridge && !existsSync(naming.runDir)) return false
  const failures: unknown[] = []
  const noted = (error: unknown) => void failures.push(error)
  await Promise.all(spaces.map(netns => endOccupants(netns, steps).catch(noted)))
  await unmountAll(naming).catch(noted)
  for (const netns of spaces) await removeNamespace(netns).catch(noted)
  await removeBridge(naming).catch(noted)
  if (failures.length > 0)
    throw new AggregateError(failures, `the hosts of ${dir} could not be removed: ${failures.join('; ')}`)
  // The last: while it is there, something may be.
  await rm(naming.runDir, { recursive: true, force: true })
  return true
}

/** The engine first, in order; then, of one that was killed, what it can't end any more. */
async function endOccupants(netns: string, steps: readonly Step[]) {
  const engines = (await occupantsOf(netns)).filter(isRunning('dockerd'))
  await Promise.all(engines.map(engine => endProcess(engine, steps)))
  const left = await occupantsOf(netns)
  const containers = left.flatMap(shim => /containerd-shim\S* .*-id ([0-9a-f]{64})/.exec(shim.command)?.[1] ?? [])
  await Promise.all(left.map(one => endProcess(one, kill)))
  for (const id of containers) await endContainer(id)
}

const isRunning =
  (program: string) =>
  ({ command }: Occupant): boolean =>
    command.split(' ', 1)[0]?.split('/').at(-1) === program

/** A container's processes are known by their cgroup, which bears its id. */
async function endContainer(id: string) {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name)).map(Number)
  const groups = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')))
  const own = pids.filter((_, n) => groups[n]?.includes(id)).flatMap(pid => identify(pid) ?? [])
  await Promise.all(own.map(one => endProcess(one, kill)))
  await removeCgroups(id)
}

/** Left empty by a container that nobody cleaned up after: under each hierarchy of version 1, or the one of version 2. */
async function removeCgroups(id: string) {
  const root = '/sys/fs/cgroup'
  for (const part of ['.', ...(await readdir(root).catch(() => []))])
    await rmdir(join(root, part, 'docker', id)).catch(() => {})
}

async function unmountAll({ dir, runDir }: Naming) {
  const mounts = mountsUnder([dir, runDir], await readFile('/proc/self/mountinfo', 'utf8'))
  for (const place of mounts) {
    // In use by a process that is just ending, say: then it goes with that.
    if (!(await attempt('umount', [place]))) await system('umount', ['-l', place])
  }
}
