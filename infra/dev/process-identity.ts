import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'

/** A process and not just its number: numbers are given out again, with another start time. */
export const processIdentity = z.strictObject({ pid: z.int().positive(), startedAt: z.string().min(1) })
export type ProcessIdentity = z.infer<typeof processIdentity>

/** The identity of the live process with this number; undefined when there is none, or it is only a zombie. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startedAt = process.platform === 'linux' ? startOnLinux(pid) : startByPs(pid)
  return startedAt === undefined ? undefined : { pid, startedAt }
}

/** Whether that very process still runs. */
export const isAlive = (identity: ProcessIdentity): boolean => identify(identity.pid)?.startedAt === identity.startedAt

/** The command line of a process, words separated by blanks; '' when it is gone. */
export function commandLine(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim()
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).trim()
  } catch {
    return ''
  }
}

/**
 * The fields of /proc/<pid>/stat from the state on (proc_pid_stat(5)); the name before them may hold blanks and brackets.
 * Start time is field 22, in ticks since boot, so the boot's id goes with it.
 */
export function startFromStat(stat: string): string | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

function startOnLinux(pid: number): string | undefined {
  try {
    const ticks = startFromStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    return ticks && `${ticks}@${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}`
  } catch {
    return undefined
  }
}

function startByPs(pid: number): string | undefined {
  try {
    const [state, ...start] = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], { encoding: 'utf8' })
      .trim()
      .split(/\s+/)
    return state?.startsWith('Z') ? undefined : start.join(' ') || undefined
  } catch {
    return undefined
  }
}

/** Waits until a process that need not be our child has ended (there is no event for that); false after `ms`. */
export async function hasEnded(identity: ProcessIdentity, ms: number): Promise<boolean> {
  const deadline = Date.now() + ms
  while (isAlive(identity)) {
    if (Date.now() > deadline) return false
    await delay(20)
  }
  return true
}

export type Step = readonly [signal: NodeJS.Signals, waitMs: number]

/** Sends one signal after the other, each with its time to work, until the process has ended. Throws when none helped. */
export async function endProcess(identity: ProcessIdentity, steps: readonly Step[]): Promise<void> {
  for (const [signal, waitMs] of steps) {
    if (!isAlive(identity)) return
    sendSignal(identity.pid, signal)
    if (await hasEnded(identity, waitMs)) return
  }
  throw new Error(`process ${identity.pid} (${commandLine(identity.pid)}) does not end; end it by hand`)
}

function sendSignal(pid: number, signal: NodeJS.Signals) {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
