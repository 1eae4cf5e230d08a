import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** How a child ended. */
export type Exit = { code: number | null; signal: NodeJS.Signals | null }

/** A program this process started. */
export type Child = {
  process: ChildProcess
  /** Settles when the program has ended, or could not be started at all (code null). Never rejects. */
  exited: Promise<Exit>
  /** Its last lines on standard error, for the message when it ends unexpectedly. */
  lastWords: () => string
}

const keptLines = 5
const keptLength = 500

/** Starts a program and remembers its last lines on standard error; `onLine` sees each of them. */
export const startChild = (
  file: string,
  args: string[],
  options: { env: Record<string, string>; stdio: StdioOptions; onLine?: (line: string) => void },
): Child => {
  const child = spawn(file, args, { env: options.env, stdio: options.stdio })
  const lines: string[] = []
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on('line', line => {
      options.onLine?.(line)
      if (line.trim() === '') return
      lines.push(line.slice(0, keptLength))
      if (lines.length > keptLines) lines.shift()
    })
  }
  const exited = new Promise<Exit>(resolve => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    child.once('error', error => {
      lines.push(error.message)
      resolve({ code: null, signal: null })
    })
  })
  return { process: child, exited, lastWords: () => lines.join(' | ') }
}

/** Whether `promise` settled within `ms` milliseconds. */
export const settlesWithin = async (promise: Promise<unknown>, ms: number): Promise<boolean> => {
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(), ms)
  try {
    return await Promise.race([promise.then(() => true), once(timeout.signal, 'abort').then(() => false)])
  } finally {
    clearTimeout(timer)
  }
}

/** TERM, then KILL when it has not ended `graceMs` milliseconds later. */
export const endChild = async (child: Child, graceMs: number): Promise<void> => {
  child.process.kill('SIGTERM')
  if (await settlesWithin(child.exited, graceMs)) return
  child.process.kill('SIGKILL')
  await settlesWithin(child.exited, 1000)
}

/** How an exit reads in a message. */
export const describeExit = ({ code, signal }: Exit): string =>
  signal !== null ? `ended by ${signal}` : code === null ? 'could not be started' : `ended with code ${code}`
