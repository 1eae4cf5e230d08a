import { spawn } from 'node:child_process'
import { once } from 'node:events'

export type Run = { cwd: string; env: NodeJS.ProcessEnv; signal: AbortSignal }

/** Runs a program and keeps what it says (at most the last 200,000 characters). Resolves to whether it ended well. */
export async function runQuietly(
  program: string,
  args: readonly string[],
  run: Run,
): Promise<{ ok: boolean; said: string }> {
  const child = spawn(program, args, { ...run, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-200_000)
    })
  }
  const [code] = await once(child, 'close')
  return { ok: code === 0, said }
}

/** Milliseconds that a program has to put away what it made, once it was told to stop. */
const endMs = 60_000

/**
 * Runs a program on our own terminal; told to stop, it has a minute to end by itself. Resolves to its exit code, when it has
 * ended: what it uses may be taken away then, and not before.
 */
export async function runShown(program: string, args: readonly string[], { cwd, env, signal }: Run): Promise<number> {
  signal.throwIfAborted()
  const child = spawn(program, args, { cwd, env, stdio: 'inherit' })
  let timer: NodeJS.Timeout | undefined
  const stop = () => {
    child.kill('SIGTERM')
    timer = setTimeout(() => child.kill('SIGKILL'), endMs)
  }
  signal.addEventListener('abort', stop)
  try {
    const [code] = await once(child, 'close')
    return signal.aborted ? 130 : (code ?? 1)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
