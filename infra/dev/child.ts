import { type ChildProcess, fork } from 'node:child_process'
import { closeSync } from 'node:fs'
import { z } from 'zod'
import { openLog, tailOf } from './files.ts'
import { endProcess, identify, type Step } from './process-identity.ts'

/** What a child of ours says when it can be used. Further facts depend on the child. */
const readyMessage = z.object({ type: z.literal('ready'), url: z.string(), hostId: z.string().optional() })
export type Ready = z.infer<typeof readyMessage>

export type Exit = { code: number | null; signal: NodeJS.Signals | null }

export type Child = Ready & {
  pid: number
  /** Fulfilled when it has ended, for whatever reason. */
  ended: Promise<Exit>
  /** Ends it, TERM first; forgives that it has ended. */
  stop(steps?: readonly Step[]): Promise<void>
}

export type ChildOptions = {
  /** As messages name it: 'gateway', 'agent'. */
  name: string
  script: string
  cwd: string
  env: NodeJS.ProcessEnv
  /** A program and its arguments that runs another in its own place, in another network namespace say. */
  within?: readonly string[] | undefined
  logFile: string
  readyWithinMs?: number
  onSpawn?: (pid: number) => void
  signal?: AbortSignal | undefined
}

export const orderlyEnd: readonly Step[] = [
  ['SIGTERM', 8_000],
  ['SIGKILL', 3_000],
]

export const forcedEnd: readonly Step[] = [['SIGKILL', 3_000]]

/**
 * Runs a script of this repo with our own Node and waits for its `ready`. It stands in its own process group, so that a
 * Ctrl-C in the terminal reaches only us, and ends by itself when we are killed (the channel between us closes then).
 * @throws Error with the last lines of its log when it ends or stays silent instead
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const { name, script, cwd, env, within, logFile, readyWithinMs = 30_000, signal } = options
  signal?.throwIfAborted()
  const log = openLog(logFile)
  const child = fork(script, [], {
    cwd,
    env: { ...env, PORTHOLE_EXIT_WITH_PARENT: '1' },
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    ...(within && runWithin(within)),
  })
  closeSync(log)
  const ended = exitOf(child)
  if (child.pid) options.onSpawn?.(child.pid)
  const identity = child.pid ? identify(child.pid) : undefined
  const stop = async (steps = orderlyEnd) => {
    if (identity) await endProcess(identity, steps)
    await ended
  }
  try {
    const ready = await readyOf(child, ended, readyWithinMs, signal)
    return { ...ready, pid: child.pid ?? 0, ended, stop }
  } catch (cause) {
    await stop(forcedEnd)
    signal?.throwIfAborted()
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`the ${name} ${reason}. The end of ${logFile}:\n${tailOf(logFile)}`, { cause })
  }
}

/** The outer program becomes Node: same process, same channel. */
const runWithin = ([program = process.execPath, ...words]: readonly string[]) => ({
  execPath: program,
  execArgv: [...words, process.execPath, ...process.execArgv],
})

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise(resolve => {
    child.once('error', () => resolve({ code: null, signal: null }))
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
}

async function readyOf(child: ChildProcess, ended: Promise<Exit>, ms: number, signal: AbortSignal | undefined) {
  const { promise, resolve, reject } = Promise.withResolvers<Ready>()
  const onMessage = (message: unknown) => {
    const ready = readyMessage.safeParse(message)
    if (ready.success) resolve(ready.data)
  }
  const onAbort = () => reject(new Error('was not awaited'))
  const timer = setTimeout(() => reject(new Error(`was not ready within ${ms / 1000} s`)), ms)
  child.on('message', onMessage)
  child.once('error', error => reject(new Error(`did not start: ${error.message}`)))
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted) onAbort()
  void ended.then(exit => reject(new Error(`ended while starting (${describeExit(exit)})`)))
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    child.off('message', onMessage)
    signal?.removeEventListener('abort', onAbort)
  }
}

export const describeExit = ({ code, signal }: Exit): string => signal ?? `exit code ${code}`
