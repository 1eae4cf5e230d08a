import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const keptLines = 15

/**
 * Runs a program to its end, telling each line it writes.
 * @throws Error with its last lines when it fails, is missing, or `signal` is aborted.
 */
export const runCommand = (
  file: string,
  args: string[],
  options: { signal: AbortSignal; onLine?: (line: string) => void; cwd?: string },
): Promise<string[]> =>
  new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: options.signal,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    })
    const last: string[] = []
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', line => {
        last.push(line)
        if (last.length > keptLines) last.shift()
        options.onLine?.(line)
      })
    }
    child.once('error', reject)
    child.once('close', code => {
      if (code === 0) resolve(last)
      else reject(new Error(`${file} ended with code ${code}: ${last.join('\n')}`))
    })
  })

/** Whether a program of that name can be run. */
export const hasCommand = async (file: string, signal: AbortSignal): Promise<boolean> => {
  try {
    await runCommand(file, ['--version'], { signal })
    return true
  } catch {
    return false
  }
}
