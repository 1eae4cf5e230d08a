import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writePrivateFile } from '../dev/files.ts'
import { markOf } from '../dev/names.ts'
import { type Daemon, startDaemon } from '../docker/daemon.ts'
import { enter } from './namespace.ts'
import type { Naming } from './naming.ts'
import { addressIn } from './ranges.ts'

export type HostEngineOptions = {
  naming: Naming
  host: number
  engineRange: string
  /** Where it keeps images, containers and volumes. */
  dataRoot: string
  /** The dockerd program. */
  program: string
  path: string
  signal?: AbortSignal | undefined
}

/** Where the engine of a host listens. */
export const socketOf = (naming: Naming, host: number): string => join(naming.runDir, String(host), 'docker.sock')

/** Where a host keeps its things between runs. */
export const folderOf = (naming: Naming, host: number): string => join(naming.dir, String(host))

/** Starts the Docker engine of a host, in its namespace, and waits until it answers. */
export async function startHostEngine(options: HostEngineOptions): Promise<Daemon> {
  const { naming, host, engineRange, dataRoot, program, path, signal } = options
  const [folder, running] = [folderOf(naming, host), join(naming.runDir, String(host))]
  const execRoot = join(running, 'exec')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  mkdirSync(execRoot, { recursive: true, mode: 0o700 })
  // Not the machine's own settings, which may clash with what is said here.
  const settings = join(running, 'daemon.json')
  writePrivateFile(settings, '{}\n')
  const name = naming.netns(host)
  return await startDaemon({
    program,
    path,
    within: enter(name),
    socket: socketOf(naming, host),
    pidFile: join(running, 'docker.pid'),
    execRoot,
    logFile: join(folder, 'dockerd.log'),
    mark: markOf(naming.dir),
    args: [
      ...['--config-file', settings, '--data-root', dataRoot, '--exec-root', execRoot],
      // Where the machine runs a containerd of its own, dockerd takes that one: names apart from those of its other user.
      ...['--containerd-namespace', name, '--containerd-plugins-namespace', `${name}-plugins`],
      ...['--bip', `${addressIn(engineRange, 1)}/24`, '--default-address-pool', `base=${engineRange},size=24`],
    ],
    ...(signal && { signal }),
  })
}
