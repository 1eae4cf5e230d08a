import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { removeFile } from '../dev/files.ts'
import { commandLine, endProcess, identify, type ProcessIdentity, type Step } from '../dev/process-identity.ts'

/** How to stop a postmaster: fast (sessions are cut, data is safe), immediate (recovers at the next start), by force. */
export const fastStop: readonly Step[] = [
  ['SIGINT', 15_000],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 5_000],
]

/** As a second Ctrl-C asks: no shutdown checkpoint; the write-ahead log makes up for it at the next start. */
export const immediateStop: readonly Step[] = [
  ['SIGQUIT', 3_000],
  ['SIGKILL', 3_000],
]

/** The process number in a postmaster.pid: its first line. A file cut short by a crash has none. */
export function postmasterPid(text: string): number | undefined {
  const pid = Number(text.split('\n', 1)[0])
  return Number.isInteger(pid) && pid > 1 ? pid : undefined
}

/** Whether a postmaster.pid says that the server takes connections: its last line (pg_ctl waits for the same). */
export const saysReady = (text: string): boolean => text.split('\n')[7]?.trim() === 'ready'

/** Whether a command line is that of a Postgres serving this data folder. */
export const servesData = (command: string, data: string): boolean =>
  command.includes('postgres') && command.split(/\s+/).includes(data)

/** The text of a data folder's postmaster.pid; '' when there is none. */
export function readPostmasterFile(data: string): string {
  try {
    return readFileSync(join(data, 'postmaster.pid'), 'utf8')
  } catch {
    return ''
  }
}

/** The Postgres that serves this data folder now, whoever started it. */
export function runningPostmaster(data: string): ProcessIdentity | undefined {
  const pid = postmasterPid(readPostmasterFile(data))
  const running = pid && servesData(commandLine(pid), data) ? identify(pid) : undefined
  return running
}

/**
 * Ends a Postgres that outlived its parent, and removes a postmaster.pid that names no Postgres of this data folder
 * (its number may belong to another program by now, and Postgres would then refuse to start).
 */
export async function endLeftover(data: string, steps: readonly Step[] = fastStop): Promise<boolean> {
  const running = runningPostmaster(data)
  if (running) await endProcess(running, steps)
  removeFile(join(data, 'postmaster.pid'))
  return running !== undefined
}
