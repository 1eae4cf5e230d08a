import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

export type Child = { pid: number; stop(): Promise<void> }

const run = promisify(execFile)
const startMs = 5000

/** Starts a program that serves at a port, and waits until it does. @throws Error with its words when it ends instead */
export const startProgram = async (
  program: string,
  args: readonly string[],
  { port }: { port: number },
): Promise<Child> => {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    said = (said + text).slice(-2000)
  })
  const ended = once(child, 'exit')
  const stop = async () => {
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
    await ended
    clearTimeout(timer)
  }
  const deadline = performance.now() + startMs
  while (!(await accepts(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await stop()
      throw new Error(`${program} does not serve: ${said}`)
    }
    // Nothing else tells when a program listens.
    await delay(20)
  }
  return { pid: child.pid ?? 0, stop }
}

const accepts = async (port: number): Promise<boolean> => {
  const socket = net.connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Lets a process, its threads and its children run on one core only: a proxy is measured by what it does with one. */
export const pin = async (pid: number, core: number): Promise<void> => {
  const { stdout } = await run('pgrep', ['-P', String(pid)]).catch(() => ({ stdout: '' }))
  for (const each of [pid, ...stdout.split('\n').filter(Boolean).map(Number)])
    await run('taskset', ['-a', '-c', '-p', String(core), String(each)])
}

/** Requests a second that wrk got answered, on so many kept-alive connections. @throws Error when any failed */
export const loadHttp = async (
  program: string,
  target: { port: number; path: string; headers: Readonly<Record<string, string>> },
  { connections, seconds, core }: { connections: number; seconds: number; core: number },
): Promise<{ perSecond: number; p99: number }> => {
  const headers = Object.entries(target.headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const { stdout } = await run('taskset', [
    ...[
      '-c',
      String(core),
      program,
      '-t1',
      `-c${connections}`,
      `-d${seconds}s`,
      '--latency',
      '--timeout',
      '10s',
      ...headers,
    ],
    `http://127.0.0.1:${target.port}${target.path}`,
  ])
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])
  const [, time = 'NaN', unit = 'ms'] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? []
  if (/Non-2xx|Socket errors/.test(stdout) || !(perSecond > 0)) throw new Error(`requests failed: ${stdout}`)
  return { perSecond, p99: Number(time) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's'] }
}
