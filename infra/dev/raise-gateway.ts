import { join } from 'node:path'
import { type EmbeddedPostgres, startPostgres } from '../postgres/embedded.ts'
import { immediateStop } from '../postgres/leftover.ts'
import { allOrNone, eachOrNone } from './all-or-none.ts'
import { type Child, forcedEnd } from './child.ts'
import type { UpConfig } from './config.ts'
import { Explained } from './explained.ts'
import { keptSecret } from './files.ts'
import { freePort, isFree } from './ports.ts'
import { inStep } from './progress.ts'
import type { Raising } from './raising.ts'
import { bootstrapTenant, startGateway } from './stack.ts'
import { type Kept, keep } from './supervise.ts'

export type Front = Awaited<ReturnType<typeof raiseGateways>>

/**
 * Postgres, or the person's own, and a gateway on each port, with the tenant `default` and its tokens.
 * @param owner whose browser is the first
 */
export async function raiseGateways(raising: Raising, ports: readonly number[], owner: string) {
  const { config, state, progress, endings, signal } = raising
  const postgres = config.databaseUrl ? undefined : await raisePostgres(raising)
  const databaseUrl = config.databaseUrl ?? postgres?.current().url ?? ''
  const local = config.listenHost === '0.0.0.0' || config.listenHost === '::' ? '127.0.0.1' : config.listenHost
  const localUrls = ports.map(port => `http://${local}:${port}`)
  const [localUrl = ''] = localUrls
  const publicUrls = localUrls.map(url => config.publicUrl ?? url)
  const [publicUrl = ''] = publicUrls
  const settings = { databaseUrl, secret: keptSecret(join(state.dir, 'secret')) }
  const allowedOrigins = ports.flatMap(port => [`http://127.0.0.1:${port}`, `http://localhost:${port}`])

  const mintTokens = (ends: AbortSignal) =>
    bootstrapTenant({ root: config.root, env: config.env, ...settings, publicUrl, owner, signal: ends })

  const keepGateway = async (port: number, n: number, ends: AbortSignal): Promise<Kept<Child>> => {
    const label = n === 0 ? '' : ` ${n + 1}`
    const role = `gateway${label.replace(' ', '-')}`
    const kept = await keep({
      name: `The gateway${label}`,
      signal: ends,
      start: ends =>
        startGateway({
          root: config.root,
          logDir: state.dir,
          logName: role,
          env: config.env,
          ...settings,
          publicUrl: publicUrls[n] ?? publicUrl,
          port,
          listenHost: config.listenHost,
          allowedOrigins,
          onSpawn: pid => state.recordProcess(role, pid),
          signal: ends,
        }),
    })
    endings.push({
      title: `Gateway${label}`,
      stop: () => kept.current().stop(),
      force: () => kept.current().stop(forcedEnd),
    })
    return kept
  }

  return await inStep(
    progress,
    ports.length === 1 ? 'Gateway' : 'Gateways',
    async () => {
      // All migrate the database, and a lock there lets only one of them do it.
      const [gateways, tokens] = await allOrNone(signal, ends => [
        eachOrNone(ends, ends => ports.map((port, n) => keepGateway(port, n, ends))),
        mintTokens(ends),
      ])
      const kept = postgres ? [postgres, ...gateways] : gateways
      return {
        databaseUrl,
        publicUrl,
        publicUrls,
        localUrl,
        localUrls,
        gateways,
        kept,
        tokens,
        mintedAt: performance.now(),
      }
    },
    front => front.publicUrls.join(' '),
  )
}

async function raisePostgres({ state, progress, endings, signal }: Raising) {
  return await inStep(progress, 'Postgres', async step => {
    const postgres = await keep({
      name: 'Postgres',
      signal,
      start: (ends, former: EmbeddedPostgres | undefined) =>
        startPostgres({
          dir: join(state.dir, 'postgres'),
          ...(former && { port: former.port }),
          onProgress: step.update,
          signal: ends,
        }),
    })
    endings.push({
      title: 'Postgres',
      stop: () => postgres.current().stop(),
      force: () => postgres.current().stop(immediateStop),
    })
    return postgres
  })
}

/** The gateways' ports, the first the one asked for. @throws Explained when that is taken */
export async function choosePorts({ port, listenHost }: UpConfig, gateways: number): Promise<number[]> {
  if (port === 0) return await Promise.all(Array.from({ length: gateways }, () => freePort()))
  if (!(await isFree(port, listenHost))) throw new Explained(portTaken(port))
  const ports = [port]
  for (let next = port + 1; ports.length < gateways; next += 1) {
    if (next > 65_535)
      throw new Explained(`There are no ports for ${gateways} gateways above ${port}: use a lower PORT.`)
    if (await isFree(next, listenHost)) ports.push(next)
  }
  return ports
}

export const portTaken = (port: number): string =>
  `Port ${port} is taken by another program. Stop that one, or use another port:
  PORT=${port + 1} npm run up`
