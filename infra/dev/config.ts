import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Explained } from './explained.ts'
import { parsePort } from './options.ts'

export type UpConfig = {
  /** The repo's folder. */
  root: string
  /** Where this stack keeps everything of its own: `.porthole`. */
  dir: string
  /** The gateway's port; 0 picks a free one. */
  port: number
  listenHost: string
  /** When a proxy or a tunnel stands in front. */
  publicUrl: string | undefined
  /** A Postgres of the person's own. */
  databaseUrl: string | undefined
  /** An image of the person's own. */
  image: string | undefined
  /** Print stack traces. */
  verbose: boolean
  /** What children inherit. */
  env: NodeJS.ProcessEnv
}

/** @throws Explained when a value is malformed */
export function parseUpConfig(env: NodeJS.ProcessEnv, root: string): UpConfig {
  const port = parsePort(env.PORT)
  if (typeof port !== 'number') throw new Explained(port.refused)
  return {
    root,
    dir: `${root}/.porthole`,
    port,
    listenHost: env.PORTHOLE_LISTEN_HOST?.trim() || '127.0.0.1',
    publicUrl: env.PUBLIC_URL?.trim() || undefined,
    databaseUrl: env.DATABASE_URL?.trim() || undefined,
    image: env.BROWSER_RUNTIME_IMAGE?.trim() || undefined,
    verbose: isVerbose(env),
    env,
  }
}

const isVerbose = (env: NodeJS.ProcessEnv) => Boolean(env.DEBUG)

export const repoRoot: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export const readUpConfig = (): UpConfig => parseUpConfig(process.env, repoRoot)

export const readVerbose = (): boolean => isVerbose(process.env)
