import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, closeSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Explained } from '../dev/explained.ts'
import { openLog, readJson, removeFile, tailOf, writePrivateFile } from '../dev/files.ts'
import { freePort } from '../dev/ports.ts'
import { endProcess, identify, isAlive, processIdentity, type Step } from '../dev/process-identity.ts'
import { findBinaries } from './binaries.ts'
import { ensureCluster } from './cluster.ts'
import { endLeftover, fastStop, readPostmasterFile, saysReady } from './leftover.ts'
import { canReach, postgresUser, type SystemUser } from './user.ts'

export type StartOptions = {
  /** Where data, password and log are kept. */
  dir: string
  /** TCP port on 127.0.0.1; a free one when omitted. */
  port?: number
  /** Whether a commit survives a power cut. Off is for tests only. */
  fsync?: boolean
  /** Where root keeps what must be readable by Postgres' own user. */
  store?: string
  onProgress?: (detail: string) => void
  signal?: AbortSignal
}

export type EmbeddedPostgres = {
  /** postgres:// URL with the password of the superuser; a secret. */
  url: string
  port: number
  pid: number
  /** Fulfilled when the process has ended, for whatever reason. */
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** Ends it; a second call waits for the same end. `steps` as in leftover.ts. */
  stop(steps?: readonly Step[]): Promise<void>
}

const readyWithin = 60_000

/**
 * A real Postgres on 127.0.0.1, from npm's binaries, whose data is kept in `dir`. One that a killed process left
 * running there is ended first; one whose parent still lives is an error. As root it runs as user postgres or nobody, and
 * lives under `store` when that user cannot reach `dir`.
 */
export async function startPostgres(options: StartOptions): Promise<EmbeddedPostgres> {
  const { onProgress = () => {}, fsync = true, signal } = options
  const user = postgresUser()
  const store = options.store ?? '/var/lib/porthole'
  const folder = prepareFolder(options.dir, user, store)
  refuseWhileUsed(folder)
  writePrivateFile(join(folder, 'user.json'), JSON.stringify(identify(process.pid)))
  const binaries = findBinaries(user, user ? store : folder)
  if (!existsSync(join(folder, 'cluster'))) onProgress('creating the database')
  const { data, password } = await ensureCluster({ folder, fsync, binaries, user, signal })
  if (await endLeftover(data)) onProgress('ended one that was left behind')

  for (let attempt = 1; ; attempt += 1) {
    signal?.throwIfAborted()
    const port = options.port || (await freePort())
    const log = join(folder, 'postgres.log')
    const before = statSync(log, { throwIfNoEntry: false })?.size ?? 0
    const child = launch(binaries.postgres, serverArguments(data, port, fsync), user, log)
    const failure = await untilReady(child, data, signal)
    if (!failure) return handle(child, port, password, folder)
    // It may not have written its pid file yet, so it is ended by what we know of it.
    const started = child.pid === undefined ? undefined : identify(child.pid)
    if (started) await endProcess(started, fastStop)
    await endLeftover(data)
    const told = readFileSync(log, 'utf8').slice(before)
    if (signal?.aborted) throw signal.reason
    // Another process can take the port between our look and Postgres' bind; after a kill -9 the old shared memory can
    // live for a moment longer than the postmaster.
    const passing = /(Address already in use.*)|(pre-existing shared memory)/s.test(told)
    if (options.port && /Address already in use/.test(told)) throw new Explained(portTaken(port))
    if (!passing || attempt === 5) throw new Error(`Postgres ${failure}. The end of ${log}:\n${tailOf(log)}`)
    await delay(100 * attempt)
  }
}

/** Ends the Postgres that was left running in `dir`, if any; true when there was one. */
export async function stopLeftoverPostgres(
  dir: string,
  steps: readonly Step[] = fastStop,
  store = '/var/lib/porthole',
) {
  const user = postgresUser()
  const folders = [resolve(dir), relocated(dir, store)].slice(0, user ? 2 : 1)
  const ended = await Promise.all(folders.map(folder => endLeftover(join(folder, 'cluster/data'), steps)))
  return ended.includes(true)
}

const portTaken = (port: number) => `Port ${port} on 127.0.0.1, wanted for Postgres, is taken by another program.`

const relocated = (dir: string, store: string) =>
  join(store, createHash('sha256').update(resolve(dir)).digest('hex').slice(0, 16))

/** As root the folder stays ours and can only be walked through; what Postgres writes is the cluster inside it. */
function prepareFolder(dir: string, user: SystemUser | undefined, store: string): string {
  mkdirSync(dir, { recursive: true })
  if (user && !canReach(resolve(dir), user)) {
    mkdirSync(store, { recursive: true, mode: 0o755 })
    mkdirSync(relocated(dir, store), { recursive: true })
    chmodSync(relocated(dir, store), 0o711)
    return relocated(dir, store)
  }
  chmodSync(dir, user ? 0o711 : 0o700)
  return resolve(dir)
}

function refuseWhileUsed(folder: string) {
  const user = readJson(join(folder, 'user.json'), processIdentity)
  if (user && user.pid !== process.pid && isAlive(user)) {
    throw new Explained(`The Postgres in ${folder} is in use by process ${user.pid}. End that one first.`)
  }
}

const serverArguments = (data: string, port: number, fsync: boolean) => [
  ...['-D', data, '-p', String(port)],
  ...['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'max_connections=200'],
  ...(fsync ? [] : ['-c', 'fsync=off', '-c', 'synchronous_commit=off', '-c', 'full_page_writes=off']),
]

function launch(program: string, args: string[], user: SystemUser | undefined, log: string): ChildProcess {
  const output = openLog(log)
  try {
    // Its own process group: a Ctrl-C in the terminal reaches only us, and Postgres is to end last.
    return spawn(program, args, { ...user, cwd: '/', detached: true, stdio: ['ignore', output, output] })
  } finally {
    closeSync(output)
  }
}

/** Waits until the server takes connections; resolves to what went wrong, or undefined. */
async function untilReady(child: ChildProcess, data: string, signal: AbortSignal | undefined) {
  let failure: string | undefined
  child.once('error', error => {
    failure = `did not start: ${error.message}`
  })
  child.once('exit', (code, by) => {
    failure = `ended while starting (${by ?? `exit code ${code}`})`
  })
  const deadline = Date.now() + readyWithin
  while (!failure) {
    const status = readPostmasterFile(data)
    if (status.startsWith(`${child.pid}\n`) && saysReady(status)) return undefined
    if (signal?.aborted) return 'was not awaited'
    if (Date.now() > deadline) return `was not ready within ${readyWithin / 1000} s`
    await delay(15) // Postgres tells it in a file only
  }
  return failure
}

function handle(child: ChildProcess, port: number, password: string, folder: string): EmbeddedPostgres {
  const { pid } = child
  const identity = pid === undefined ? undefined : identify(pid)
  if (pid === undefined) throw new Error('Postgres has no process number')
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(done => {
    if (child.exitCode !== null || child.signalCode !== null) done({ code: child.exitCode, signal: child.signalCode })
    child.once('exit', (code, signal) => done({ code, signal }))
  })
  void ended.then(() => removeFile(join(folder, 'user.json')))
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    port,
    pid,
    ended,
    async stop(steps = fastStop) {
      if (identity) await endProcess(identity, steps)
      await ended
    },
  }
}
