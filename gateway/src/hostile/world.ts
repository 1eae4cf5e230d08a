import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { claimOwner, connect, migrate, putTenant, type RuntimeRow, startOn, toRunning } from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { createUpstream } from '../edge/testing.ts'
import { ownerHashOf } from '../identity/owner.ts'
import { mintToken, scopes } from '../tokens/caller.ts'
import { createIssuer } from '../tokens/issuer.ts'
import { createSeal } from '../tokens/seal.ts'

/** Seconds that tokens, hosts and runtimes of a test are good for. */
const lifetime = 600

export type HostileWorld = {
  port: number
  token: string
  alice: RuntimeRow
  /** What the host of all runtimes got, and what it answers. */
  upstream: Awaited<ReturnType<typeof createUpstream>>
  /** Bytes that the gateway's process holds in memory. */
  memory(): number
  isAlive(): boolean
  close(): Promise<void>
}

export type HostileOptions = {
  databaseUrl: string
  secret: string
  /** What the gateway's process inherits. */
  env: NodeJS.ProcessEnv
  /** Further settings of the gateway. */
  settings?: Readonly<Record<string, string>>
  logFile: string
}

const main = join(import.meta.dirname, '../main.ts')

/** A gateway in a process of its own, so that its memory can be measured, in front of a host that notes what it gets. */
export const startHostileWorld = async (options: HostileOptions): Promise<HostileWorld> => {
  const { databaseUrl, secret, env, settings, logFile } = options
  await migrate(databaseUrl)
  const database = connect(databaseUrl, { max: 2 })
  const { db } = database
  const upstream = await createUpstream()
  await putTenant(db, { slug: 'default', mode: 'docker-per-principal' })
  const lastSeenAt = new Date(Date.now() + lifetime * 1000)
  await addHost(db, 'h1', 10, { url: upstream.url, lastSeenAt })
  const ownerHash = ownerHashOf('default', 'docker-per-principal', 'alice')
  const claimed = await claimOwner(db, wanted('alice', { ownerHash }), lifetime * 1000)
  const started = claimed && (await startOn(db, claimed.row, 'h1', lifetime * 1000))
  const alice = typeof started === 'object' ? await toRunning(db, started) : undefined
  if (!alice) throw new Error('the runtime could not be made to run')
  const issuer = await createIssuer(db, createSeal(secret), Date.now)
  const token = await mintToken(issuer, { tenant: 'default', subject: 't', scopes, jti: 'j' }, lifetime)

  const log = openSync(logFile, 'a', 0o600)
  const child = fork(main, [], {
    env: {
      ...env,
      DATABASE_URL: databaseUrl,
      PORTHOLE_SECRET: secret,
      PORT: '0',
      PUBLIC_URL: '',
      PORTHOLE_EXIT_WITH_PARENT: '1',
      ...settings,
    },
    stdio: ['ignore', log, log, 'ipc'],
  })
  closeSync(log)
  const ended = once(child, 'exit')
  const [ready] = (await Promise.race([once(child, 'message', { signal: AbortSignal.timeout(30_000) }), ended])) as [
    { url?: string } | number | null,
  ]
  if (typeof ready !== 'object' || ready?.url === undefined) throw new Error(`the gateway ended: see ${logFile}`)

  return {
    port: Number(new URL(ready.url).port),
    token,
    alice,
    upstream,
    memory: () => {
      const status = readFileSync(`/proc/${child.pid}/status`, 'latin1')
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1024
    },
    isAlive: () => child.exitCode === null && child.signalCode === null,
    close: async () => {
      child.kill()
      const late = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await ended
      clearTimeout(late)
      upstream.server.closeAllConnections()
      upstream.server.close()
      await database.close()
    },
  }
}
