import { spawn } from 'node:child_process'
import { closeSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Explained } from '../dev/explained.ts'
import { openLog, removeFile, tailOf } from '../dev/files.ts'
import { commandLine, endProcess, identify, type ProcessIdentity, type Step } from '../dev/process-identity.ts'
import { daemonFailed } from './messages.ts'
import { probe } from './probe.ts'

export type Daemon = { pid: number; stop(steps?: readonly Step[]): Promise<void> }

export type DaemonOptions = {
  /** The dockerd program. */
  program: string
  path: string
  socket: string
  pidFile: string
  /** dockerd's folder for running things; `/var/run/docker` unless `args` say otherwise. */
  execRoot?: string
  logFile: string
  /** Written into the daemon's labels, so that a later run knows it as ours. */
  mark: string
  args?: readonly string[]
  /** A program and its arguments that runs dockerd in its own place, in another network namespace say. */
  within?: readonly string[]
  onProgress?: (detail: string) => void
  signal?: AbortSignal
}

/** dockerd stops its containers on TERM, which takes up to 15 s, and must not be cut off in that. */
export const orderlyStop: readonly Step[] = [
  ['SIGTERM', 30_000],
  ['SIGKILL', 5_000],
]

const readyWithin = 60_000

/** Starts dockerd as a process of our own, in its own process group, and waits until it answers. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  removeStalePidFile(options.pidFile, 'dockerd')
  // A killed dockerd takes its containerd along, and the next one waits in vain for it while the file says it runs.
  removeStalePidFile(join(options.execRoot ?? '/var/run/docker', 'containerd/containerd.pid'), 'containerd')
  const log = openLog(options.logFile)
  const [program = options.program, ...before] = [...(options.within ?? []), options.program]
  const child = spawn(
    program,
    [
      ...before,
      ...['--host', `unix://${options.socket}`, '--pidfile', options.pidFile, '--label', markLabel(options.mark)],
      ...(options.args ?? []),
    ],
    { detached: true, stdio: ['ignore', log, log], env: { PATH: options.path }, cwd: '/' },
  )
  closeSync(log)
  let failure: string | undefined
  child.once('error', error => {
    failure = error.message
  })
  child.once('exit', (code, by) => {
    failure = `it ended (${by ?? `exit code ${code}`})`
  })
  const started = Date.now()
  for (;;) {
    if (failure) throw new Explained(daemonFailed(options.logFile, reasonIn(tailOf(options.logFile, 60))))
    const answer = await probe(`unix://${options.socket}`, { tls: false, certPath: undefined })
    if (answer.kind === 'answers') break
    if (options.signal?.aborted || Date.now() - started > readyWithin) {
      if (child.pid) child.kill('SIGTERM')
      options.signal?.throwIfAborted()
      throw new Explained(daemonFailed(options.logFile, reasonIn(tailOf(options.logFile, 60))))
    }
    options.onProgress?.('waiting until it answers')
    await delay(50) // its socket appears before it serves, and no event says so
  }
  child.unref()
  const identity = child.pid === undefined ? undefined : identify(child.pid)
  if (!identity) throw new Explained(daemonFailed(options.logFile, reasonIn(tailOf(options.logFile, 60))))
  return daemonOf(identity)
}

/** The daemon that an earlier run started with this mark and left behind, if it still runs. */
export function findDaemon(pidFile: string, mark: string): Daemon | undefined {
  const pid = pidIn(pidFile)
  const identity = pid && commandLine(pid).split(' ').includes(markLabel(mark)) ? identify(pid) : undefined
  return identity && daemonOf(identity)
}

const daemonOf = (identity: ProcessIdentity): Daemon => ({
  pid: identity.pid,
  stop: (steps = orderlyStop) => endProcess(identity, steps),
})

const markLabel = (mark: string) => `porthole.started-by=${mark}`

function pidIn(file: string): number | undefined {
  if (!existsSync(file)) return undefined
  const pid = Number(readFileSync(file, 'utf8').trim())
  return Number.isInteger(pid) && pid > 1 ? pid : undefined
}

/** The lines of dockerd's log that tell why it ended, or its last ones. */
export function reasonIn(log: string): string {
  const lines = log.split('\n')
  const reasons = lines.filter(line => /^failed to |level=(error|fatal)/.test(line))
  return (reasons.length > 0 ? reasons : lines).slice(-5).join('\n')
}

/**
 * Whether a pid file that names this process has outlived its program: dockerd takes any process of that number, even a
 * zombie, for the program itself, and does not start.
 * @param command the command line of the process, '' when there is none (a zombie has none either)
 */
export const isStalePid = (command: string, program: string): boolean =>
  command.split(' ', 1)[0]?.split('/').at(-1) !== program

function removeStalePidFile(file: string, program: string) {
  const pid = pidIn(file)
  if (existsSync(file) && isStalePid(pid ? commandLine(pid) : '', program)) removeFile(file)
}

/** As a second Ctrl-C asks. Its containers are gone by then, or will not outlive it. */
export const forcedDaemonStop: readonly Step[] = [
  ['SIGTERM', 5_000],
  ['SIGKILL', 3_000],
]
