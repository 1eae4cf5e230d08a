import { join } from 'node:path'
import { type EmbeddedPostgres, startPostgres } from '../postgres/embedded.ts'
import { immediateStop } from '../postgres/leftover.ts'
import { allOrNone } from './all-or-none.ts'
import { forcedEnd } from './child.ts'
import type { UpConfig } from './config.ts'
import { Explained } from './explained.ts'
import { keptSecret } from './files.ts'
import { freePort, isFree } from './ports.ts'
import { inStep } from './progress.ts'
import type { Raising } from './raising.ts'
import { bootstrapTenant, startGateway } from './stack.ts'
import { keep } from './supervise.ts'

export type Front = Awaited<ReturnType<typeof raiseGateway>>

/** Postgres, or the person's own, and a gateway on it, with the tenant `default` and its tokens. */
export async function raiseGateway({ config, state, progress, endings, signal }: Raising, port: number) {
  const postgres = config.databaseUrl ? undefined : await raisePostgres({ config, state, progress, endings, signal })
  const databaseUrl = config.databaseUrl ?? postgres?.current().url ?? ''
  const local = config.listenHost === '0.0.0.0' || config.listenHost === '::' ? '127.0.0.1' : config.listenHost
  const localUrl = `http://${local}:${port}`
  const settings = {
    databaseUrl,
    publicUrl: config.publicUrl ?? localUrl,
    secret: keptSecret(join(state.dir, 'secret')),
  }

  const mintTokens = (ends = signal) =>
    bootstrapTenant({ root: config.root, env: config.env, ...settings, signal: ends })

  return await inStep(
    progress,
    'Gateway',
    async () => {
      // Both migrate the database, and a lock there lets only one of them do it.
      const [gateway, tokens] = await allOrNone(signal, ends => [
        keep({
          name: 'The gateway',
          signal: ends,
          start: ends =>
            startGateway({
              root: config.root,
              logDir: state.dir,
              env: config.env,
              ...settings,
              port,
              listenHost: config.listenHost,
              allowedOrigins: [`http://127.0.0.1:${port}`, `http://localhost:${port}`],
              onSpawn: pid => state.recordProcess('gateway', pid),
              signal: ends,
            }),
        }).then(kept => {
          endings.push({
            title: 'Gateway',
            stop: () => kept.current().stop(),
            force: () => kept.current().stop(forcedEnd),
          })
          return kept
        }),
        mintTokens(ends),
      ])
      const kept = postgres ? [postgres, gateway] : [gateway]
      return { ...settings, localUrl, gateway, kept, tokens, mintedAt: performance.now(), mintTokens }
    },
    front => front.publicUrl,
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

/** The gateway's port. @throws Explained when it is taken */
export async function choosePort({ port, listenHost }: UpConfig): Promise<number> {
  if (port === 0) return await freePort()
  if (await isFree(port, listenHost)) return port
  throw new Explained(portTaken(port))
}

export const portTaken = (port: number): string =>
  `Port ${port} is taken by another program. Stop that one, or use another port:
  PORT=${port + 1} npm run up`
