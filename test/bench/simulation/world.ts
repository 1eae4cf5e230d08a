import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { migrate } from '@porthole/db'
import postgres from 'postgres'
import { freePort } from '../../../infra/dev/ports.ts'
import { type BootstrapTokens, bootstrapTenant, startGateway } from '../../../infra/dev/stack.ts'
import { startPostgres } from '../../../infra/postgres/embedded.ts'
import { inheritedEnv } from '../../kit/config.ts'
import { cpuOf, cpuOfFamily } from '../cpu.ts'
import { type Part, startPart } from './part.ts'

/** A gateway in a process of its own. */
export type SimulatedGateway = { pid: number; port: number; url: string; stop(): Promise<void> }

/** What a simulation needs besides what it measures. */
export type World = {
  databaseUrl: string
  sql: postgres.Sql
  /** Seconds of CPU that Postgres has used. */
  postgresCpu(): number
  /** @param settings of their environment, beside those that every one has */
  startGateways(count: number, settings?: Readonly<Record<string, string>>): Promise<SimulatedGateway[]>
  /** Tokens of the tenant `t0`. */
  mintTokens(gateway: SimulatedGateway): Promise<BootstrapTokens>
  startFleet(): Part
  startPlacer(): Part
  close(): Promise<void>
}

const root = join(import.meta.dirname, '../../..')
const secret = 'a secret of the simulation, long enough'

/** Seconds of CPU that some processes have used together. */
export const cpuOfAll = (processes: readonly { pid: number }[]) => () =>
  processes.reduce((sum, { pid }) => sum + cpuOf(pid), 0)

/** A Postgres of its own, durable as every installation's, with an empty database. Removed when closed. */
export const openWorld = async (signal?: AbortSignal): Promise<World> => {
  const dir = mkdtempSync(join(tmpdir(), 'porthole-bench-'))
  const remove = () => rmSync(dir, { recursive: true, force: true })
  try {
    const server = await startPostgres({ dir, ...(signal && { signal }) })
    const inside = await enter(server.url, dir).catch(async error => {
      await server.stop()
      throw error
    })
    return {
      ...inside,
      postgresCpu: () => cpuOfFamily(server.pid),
      close: async () => {
        await inside.close()
        await server.stop()
        remove()
      },
    }
  } catch (error) {
    remove()
    throw error
  }
}

/** The same in a database that there is. */
export const enterWorld = async (databaseUrl: string): Promise<World> => {
  const dir = mkdtempSync(join(tmpdir(), 'porthole-bench-'))
  const inside = await enter(databaseUrl, dir)
  return {
    ...inside,
    postgresCpu: () => Number.NaN,
    close: async () => {
      await inside.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

const enter = async (databaseUrl: string, dir: string) => {
  await migrate(databaseUrl)
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => {} })
  const running = new Set<{ stop(): Promise<void> }>()
  const keep = <T extends { stop(): Promise<void> }>(thing: T): T => {
    running.add(thing)
    return {
      ...thing,
      stop: async () => {
        running.delete(thing)
        await thing.stop()
      },
    }
  }
  const startOne = async (n: number, settings: Readonly<Record<string, string>>): Promise<SimulatedGateway> => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const child = await startGateway({
      ...{ root, logDir: dir, logName: `gateway-${n}`, env: inheritedEnv() },
      ...{ databaseUrl, port, publicUrl: url, secret },
      settings: {
        ...{ LOG_LEVEL: 'warn', PORTHOLE_MAX_CONNECTIONS: '20000', PORTHOLE_MAX_OPEN: '20000' },
        ...{ PORTHOLE_MAX_OPEN_PER_TENANT: '20000', PORTHOLE_MAX_OPEN_PER_OWNER: '20000' },
        ...settings,
      },
    })
    return { ...child, port, url }
  }
  return {
    databaseUrl,
    sql,
    startGateways: async (count: number, settings: Readonly<Record<string, string>> = {}) => {
      const gateways: SimulatedGateway[] = []
      for (let n = 1; n <= count; n += 1) gateways.push(keep(await startOne(n, settings)))
      return gateways
    },
    mintTokens: ({ url }: SimulatedGateway) =>
      bootstrapTenant({ root, env: inheritedEnv(), databaseUrl, publicUrl: url, secret, tenant: 't0' }),
    startFleet: () => keep(startPart(join(import.meta.dirname, 'fleet-part.ts'))),
    startPlacer: () => keep(startPart(join(import.meta.dirname, 'placer-part.ts'))),
    close: async () => {
      await Promise.allSettled([...running].map(thing => thing.stop()))
      await sql.end({ timeout: 5 })
    },
  }
}
