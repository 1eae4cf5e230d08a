import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Root's shell may have a path without the administrator's programs. */
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export type SystemOptions = {
  /** Milliseconds; 15 s unless told. */
  withinMs?: number | undefined
  signal?: AbortSignal | undefined
  /** For the program, besides a path. */
  env?: NodeJS.ProcessEnv | undefined
}

/** Runs a program of the system to its end. Resolves to what it wrote. @throws Error with its own words */
export async function system(program: string, args: readonly string[], options: SystemOptions = {}): Promise<string> {
  const { withinMs = 15_000, signal, env } = options
  signal?.throwIfAborted()
  try {
    const { stdout } = await promisify(execFile)(program, args, {
      env: { PATH: path, LC_ALL: 'C', ...env },
      timeout: withinMs,
      killSignal: 'SIGKILL',
      maxBuffer: 16 * 2 ** 20,
      signal,
    })
    return stdout
  } catch (cause) {
    signal?.throwIfAborted()
    throw new Error(`${[program, ...args].join(' ')} failed: ${wordsOf(cause)}`, { cause })
  }
}

function wordsOf(cause: unknown): string {
  const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : ''
  return said || (cause instanceof Error ? cause.message : String(cause))
}

/** For what may be gone already: whether it worked. */
export const attempt = (program: string, args: readonly string[]): Promise<boolean> =>
  system(program, args).then(
    () => true,
    () => false,
  )
