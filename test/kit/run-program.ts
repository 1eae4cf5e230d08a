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

/** Runs a program on our own terminal. Resolves to its exit code. */
export async function runShown(program: string, args: readonly string[], run: Run): Promise<number> {
  const child = spawn(program, args, { ...run, stdio: 'inherit', killSignal: 'SIGTERM' })
  const [code] = await once(child, 'close').catch(error => {
    if (run.signal.aborted) return [130]
    throw error
  })
  return code ?? 1
}
