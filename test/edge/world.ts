import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { claimOwner, connect, migrate, putTenant, type RuntimeRow, startOn, toRunning } from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import type { Front } from '../../agent/protocol/relay/front.ts'
import { ownerHashOf } from '../../gateway/src/identity/owner.ts'
import { mintToken, scopes } from '../../gateway/src/tokens/caller.ts'
import { createIssuer } from '../../gateway/src/tokens/issuer.ts'
import { createSeal } from '../../gateway/src/tokens/seal.ts'
import { type Part, startPart } from '../bench/simulation/part.ts'
import { inheritedEnv } from '../kit/config.ts'
import { freshDatabase } from '../kit/database.ts'
import { evidence } from '../kit/evidence.ts'
import type { Listen, Run } from './agent-part.ts'

/** Seconds that tokens, hosts and runtimes of a test are good for. */
const lifetime = 3600
const hostId = 'host_edge'
const secret = 'a secret of the tests, long enough'

/** A gateway and an agent, each in a process of its own, on a real database. */
export type EdgeWorld = {
  gatewayPid: number
  agentPid(): number
  /** TCP connections that gateway and agent hold, but for those to Postgres. */
  held(): readonly [string[], string[]]
  /** Puts both in front of a container on the loopback: each time another owner's runtime. */
  open(origin: string): Promise<Front>
  /** As a crash would: the engine tells the agent. */
  endContainer(front: Front): Promise<void>
  /** The id of the runtime that a front leads to. */
  runtimeOf(front: Front): string
  killAgent(): Promise<void>
  /** Starts the agent anew, where it was, with all that ran on it. */
  restartAgent(): Promise<void>
  isAlive(): boolean
  close(): Promise<void>
}

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path)
  } catch {
    // Closed since it was listed.
    return ''
  }
}

/** TCP sockets that a process holds, but for those to `port`, and those that listen: as Linux writes their ends and state. */
const socketsOf = (pid: number, port: number): string[] => {
  const held = new Set(readdirSync(`/proc/${pid}/fd`).map(fd => linkOf(`/proc/${pid}/fd/${fd}`)))
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  return ['tcp', 'tcp6']
    .flatMap(kind => readFileSync(`/proc/${pid}/net/${kind}`, 'latin1').split('\n').slice(1))
    .map(line => line.trim().split(/\s+/))
    .filter(([, , remote = '', state, , , , , , inode]) => {
      const listens = state === '0A'
      return held.has(`socket:[${inode}]`) && !listens && !remote.endsWith(`:${hex}`)
    })
    .map(([, local, remote, state]) => `${local} to ${remote} (${state})`)
}

/** Bytes that a process holds in memory. */
export const memoryOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? Number.NaN) * 1024

const startGateway = async (databaseUrl: string, settings: Readonly<Record<string, string>>) => {
  const logFile = evidence.logFile('gateway')
  const log = openSync(logFile, 'a', 0o600)
  const child = fork(join(import.meta.dirname, '../../gateway/src/main.ts'), [], {
    env: {
      ...inheritedEnv(),
      ...{ DATABASE_URL: databaseUrl, PORTHOLE_SECRET: secret, PORT: '0', PUBLIC_URL: '', LOG_LEVEL: 'info' },
      ...{ PORTHOLE_EXIT_WITH_PARENT: '1', ...settings },
    },
    stdio: ['ignore', log, log, 'ipc'],
  })
  closeSync(log)
  const ended = once(child, 'exit')
  const [ready] = (await Promise.race([once(child, 'message', { signal: AbortSignal.timeout(30_000) }), ended])) as [
    { url?: string } | number | null,
  ]
  const url = typeof ready === 'object' ? ready?.url : undefined
  if (url === undefined || child.pid === undefined) throw new Error(`the gateway did not start: see ${logFile}`)
  return {
    pid: child.pid,
    url,
    isAlive: () => child.exitCode === null && child.signalCode === null,
    stop: async () => {
      child.kill()
      const late = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await ended
      clearTimeout(late)
    },
  }
}

const startAgent = async (said: Listen) => {
  const part = startPart(join(import.meta.dirname, 'agent-part.ts'))
  return { part, port: await part.ask<number>('listen', said) }
}

/** @param settings further ones of the gateway */
export const startEdgeWorld = async (settings: Readonly<Record<string, string>> = {}): Promise<EdgeWorld> => {
  evidence.remember('PORTHOLE_SECRET', secret)
  const fresh = await freshDatabase()
  await migrate(fresh.url)
  const { db, close } = connect(fresh.url, { max: 4 })
  const gateway = await startGateway(fresh.url, settings)
  const agentAt = (port: number) => startAgent({ gatewayUrl: gateway.url, hostId, port })
  let agent: { part: Part; port: number } = await agentAt(0)
  const running: Run[] = []
  let owners = 0

  await putTenant(db, { slug: 'default', mode: 'docker-per-principal' })
  const lastSeenAt = new Date(Date.now() + lifetime * 1000)
  await addHost(db, hostId, 1000, { url: `http://127.0.0.1:${agent.port}`, lastSeenAt })
  const issuer = await createIssuer(db, createSeal(secret), Date.now)
  const token = await mintToken(issuer, { tenant: 'default', subject: 't', scopes, jti: 'j' }, lifetime)
  evidence.remember('bearer token', token)

  const run = async (owner: string, port: number): Promise<RuntimeRow> => {
    const ownerHash = ownerHashOf('default', 'docker-per-principal', owner)
    const claimed = await claimOwner(db, wanted(owner, { ownerHash }), lifetime * 1000)
    const started = claimed && (await startOn(db, claimed.row, hostId, lifetime * 1000))
    const row = typeof started === 'object' ? await toRunning(db, started) : undefined
    if (!row) throw new Error(`${owner}'s runtime could not be made to run`)
    const ran: Run = { runtimeId: row.id, generation: row.generation, ownerHash, port }
    await agent.part.ask('run', ran)
    running.push(ran)
    return row
  }

  const behind = ({ at }: Front): Run => {
    const ran = running.find(({ ownerHash }) => at('/').includes(ownerHash))
    if (!ran) throw new Error('no runtime was made for this front')
    return ran
  }

  return {
    gatewayPid: gateway.pid,
    agentPid: () => agent.part.pid,
    held: () => {
      const database = Number(new URL(fresh.url).port || 5432)
      return [socketsOf(gateway.pid, database), socketsOf(agent.part.pid, database)]
    },
    open: async origin => {
      const { host, port } = new URL(origin)
      const { ownerHash } = await run(`owner-${++owners}`, Number(port))
      return {
        port: Number(new URL(gateway.url).port),
        at: path => `/rpc/${ownerHash}${path}`,
        credentials: [`Authorization: Bearer ${token}`],
        ...{ host, passesCookies: false },
      }
    },
    endContainer: async front => agent.part.ask('exit', behind(front).ownerHash),
    runtimeOf: front => behind(front).runtimeId,
    killAgent: async () => {
      process.kill(agent.part.pid, 'SIGKILL')
      await agent.part.stop()
    },
    restartAgent: async () => {
      agent = await agentAt(agent.port)
      for (const ran of running) await agent.part.ask('run', ran)
    },
    isAlive: gateway.isAlive,
    close: async () => {
      await gateway.stop()
      await agent.part.stop()
      await close()
      await fresh.drop()
    },
  }
}
