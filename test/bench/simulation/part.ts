import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/**
 * A process of the simulation: what stands in a process of its own so that its CPU is counted by itself. It is asked by
 * name, and answers what its function returned.
 */
export type Part = {
  pid: number
  /** @throws Error with the part's own words, or when it has ended or is silent for `ms` (default a minute) */
  ask<Answer>(name: string, question?: unknown, ms?: number): Promise<Answer>
  stop(): Promise<void>
}

type Asked = { id: number; name: string; question: unknown }
type Answered = { id: number; answer?: unknown; error?: string }

const defaultMs = 60_000
const stopMs = 10_000

/** Starts `script`, which calls `servePart`. It ends by itself when we are gone. */
export const startPart = (script: string): Part => {
  const child = fork(script, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const waiting = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>()
  let last = 0
  child.on('message', ({ id, answer, error }: Answered) => {
    const caller = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) caller?.resolve(answer)
    else caller?.reject(new Error(error))
  })
  const ended = once(child, 'exit').then(([code, signal]) => {
    for (const { reject } of waiting.values()) reject(new Error(`${script} ended (${signal ?? code})`))
    waiting.clear()
  })
  if (child.pid === undefined) throw new Error(`${script} could not be started`)
  return {
    pid: child.pid,
    ask: async <Answer>(name: string, question: unknown = null, ms = defaultMs) => {
      const id = ++last
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      waiting.set(id, { resolve, reject })
      const timer = setTimeout(() => {
        waiting.delete(id)
        reject(new Error(`${script} did not answer ${name} within ${ms / 1000} s`))
      }, ms)
      try {
        if (!child.connected) throw new Error(`${script} has ended`)
        child.send({ id, name, question } satisfies Asked)
        return (await promise) as Answer
      } finally {
        clearTimeout(timer)
        waiting.delete(id)
      }
    },
    stop: () => end(child, ended),
  }
}

const end = async (child: ChildProcess, ended: Promise<void>) => {
  if (child.connected) child.disconnect()
  const timer = setTimeout(() => child.kill('SIGKILL'), stopMs)
  await ended
  clearTimeout(timer)
}

/** The other side: answers by `functions` until the parent is gone, then calls `close` and ends. */
export const servePart = (
  functions: Record<string, (question: never) => unknown>,
  close: () => Promise<void> = async () => {},
): void => {
  // Whoever asked may have gone meanwhile.
  const tell = (answered: Answered) => process.send?.(answered, undefined, undefined, () => {})
  process.on('message', async ({ id, name, question }: Asked) => {
    try {
      const asked = functions[name]
      if (!asked) throw new Error(`there is no ${name} here`)
      const answer = await asked(question as never)
      tell({ id, answer })
    } catch (error) {
      tell({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  })
  process.on('disconnect', () => void close().finally(() => process.exit(0)))
}
