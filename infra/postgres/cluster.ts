import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Binaries } from './binaries.ts'
import type { SystemUser } from './user.ts'

/** A database cluster on disk: Postgres' data, and the password of its user `postgres` beside it. */
export type Cluster = { data: string; password: string }

type Making = {
  folder: string
  fsync: boolean
  binaries: Binaries
  user?: SystemUser | undefined
  signal?: AbortSignal | undefined
}

/**
 * The cluster in `folder`, made on first use. It is made beside its place and renamed into it, data and password
 * together, so there is never half of one.
 */
export async function ensureCluster(making: Making): Promise<Cluster> {
  const place = join(making.folder, 'cluster')
  if (!existsSync(place)) {
    const partial = join(making.folder, 'cluster.partial')
    rmSync(partial, { recursive: true, force: true })
    await makeCluster(partial, making)
    renameSync(partial, place)
  }
  return { data: join(place, 'data'), password: readFileSync(join(place, 'password'), 'utf8') }
}

async function makeCluster(partial: string, { binaries, user, fsync, signal }: Making) {
  const passwordFile = join(partial, 'password')
  mkdirSync(partial, { mode: 0o700 })
  writeFileSync(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 })
  if (user) for (const path of [partial, passwordFile]) chownSync(path, user.uid, user.gid)
  await run(
    binaries.initdb,
    [
      ...['--pgdata', join(partial, 'data'), '--username', 'postgres', '--pwfile', passwordFile],
      ...['--auth', 'scram-sha-256', '--encoding', 'UTF8', '--no-instructions', ...(fsync ? [] : ['--no-sync'])],
      // The same order of text on every machine, whatever locales it has.
      ...['--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8', '--locale', 'C'],
    ],
    user,
    signal,
  )
  chmodSync(partial, 0o700)
}

async function run(program: string, args: string[], user: SystemUser | undefined, signal: AbortSignal | undefined) {
  const deadline = AbortSignal.timeout(120_000)
  const child = spawn(program, args, {
    ...user,
    cwd: '/',
    detached: true, // a Ctrl-C in the terminal is ours to handle
    stdio: ['ignore', 'ignore', 'pipe'],
    signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
  })
  let errors = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4_000)
  })
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.on('error', reject)
  child.on('close', resolve)
  const code = await promise
  if (code !== 0) throw new Error(`${program} failed (exit code ${code}):\n${errors}`)
}
