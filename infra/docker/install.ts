import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Explained } from '../dev/explained.ts'
import { installFailed } from './messages.ts'

/** Where a program is on the search path (and in the folders that only root's path has); undefined when nowhere. */
export function findProgram(name: string, path: string): string | undefined {
  return [...path.split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']
    .map(folder => join(folder || '.', name))
    .find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Whether an os-release file is that of Debian, Ubuntu or a child of theirs (os-release(5)). */
export const isDebianFamily = (osRelease: string): boolean => /^(ID|ID_LIKE)=.*\b(debian|ubuntu)\b/m.test(osRelease)

export const isDebian = (): boolean =>
  existsSync('/etc/os-release') &&
  isDebianFamily(readFileSync('/etc/os-release', 'utf8')) &&
  existsSync('/usr/bin/apt-get')

/** Whether systemd is the init of this system (sd_booted(3)). */
export const hasSystemd = (): boolean => existsSync('/run/systemd/system')

type Run = { path: string; onProgress?: (detail: string) => void; signal?: AbortSignal }

/** Installs Debian packages as root. @throws Explained with the end of apt's words */
export async function aptInstall(packages: readonly string[], run: Run): Promise<void> {
  run.onProgress?.('apt-get update')
  // A mirror that does not answer must not stop an install from lists that are there; the install itself is what counts.
  await command('apt-get', ['update', '-q'], run).catch(() => {})
  run.signal?.throwIfAborted()
  await command(
    'apt-get',
    ['install', '-qy', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=180', ...packages],
    run,
  )
}

/** Runs a program to its end. @throws Explained with the end of its words */
export async function command(
  program: string,
  args: readonly string[],
  { path, onProgress, signal }: Run,
): Promise<void> {
  const deadline = AbortSignal.timeout(10 * 60_000)
  const child = spawn(program, args, {
    env: { PATH: path, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a Ctrl-C in the terminal is ours to handle
    signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
  })
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      const fresh = text.split('\n').filter(line => line.trim())
      lines.splice(0, lines.length, ...[...lines, ...fresh].slice(-15))
      const told = fresh.findLast(line => /^(Get|Unpacking|Setting up|Hit|Fetched)/.test(line))
      if (told) onProgress?.(told.slice(0, 100))
    })
  }
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.on('error', reject)
  child.on('close', resolve)
  const code = await promise
  if (code !== 0) throw new Explained(installFailed([program, ...args].join(' '), lines.join('\n')))
}
