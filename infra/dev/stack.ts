import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { type Child, startChild } from './child.ts'
import { Explained } from './explained.ts'

/** What every piece is told about its place. */
type Place = {
  /** The repo's folder. */
  root: string
  /** Folder for logs. */
  logDir: string
  /** What the child inherits; the settings below win. */
  env: NodeJS.ProcessEnv
  /** Of the log; the part's own unless told. */
  logName?: string
  /** A program and its arguments that runs another in its own place. */
  within?: readonly string[] | undefined
  onSpawn?: (pid: number) => void
  signal?: AbortSignal | undefined
}

export type GatewaySettings = {
  databaseUrl: string
  port: number
  publicUrl: string
  /** 32 or more characters; seals keys at rest. */
  secret: string
  listenHost?: string
  /** Origins that may open sockets, besides the public URL's. */
  allowedOrigins?: readonly string[]
  /** Further settings of the gateway, by their names in the environment. */
  settings?: Readonly<Record<string, string>>
}

/** Starts a gateway as a child process, migrates its database, and waits until it serves. */
export const startGateway = (options: Place & GatewaySettings): Promise<Child> =>
  startChild({
    ...childPlace(options, 'gateway'),
    env: {
      ...options.env,
      ...gatewayEnv(options),
      PORT: String(options.port),
      PORTHOLE_LISTEN_HOST: options.listenHost ?? '127.0.0.1',
      PORTHOLE_ALLOWED_ORIGINS: (options.allowedOrigins ?? []).join(','),
      ...options.settings,
    },
  })

const gatewayEnv = ({
  databaseUrl,
  publicUrl,
  secret,
}: Pick<GatewaySettings, 'databaseUrl' | 'publicUrl' | 'secret'>) => ({
  DATABASE_URL: databaseUrl,
  PUBLIC_URL: publicUrl,
  PORTHOLE_SECRET: secret,
})

export type AgentSettings = {
  gatewayUrl: string
  joinToken: string
  /** Where the host's key is kept; the same key keeps the host's id. */
  dataDir: string
  hostName: string
  dockerHost: string
  image: string
  /** 0 picks a free one. */
  port?: number
  listenHost?: string
  containerPrefix?: string
  volumePrefix?: string
  network?: string
  /** Further settings of the agent, by their names in the environment. */
  settings?: Readonly<Record<string, string>>
}

export type Agent = Child & { hostId: string }

/** Starts an agent as a child process and waits until its host has joined. */
export async function startAgent(options: Place & AgentSettings): Promise<Agent> {
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 })
  // The gateway's secrets are nothing to the agent.
  const { DATABASE_URL, PORTHOLE_SECRET, PUBLIC_URL, ...inherited } = options.env
  const child = await startChild({
    ...childPlace(options, 'agent'),
    env: {
      ...inherited,
      PORTHOLE_GATEWAY_URL: options.gatewayUrl,
      PORTHOLE_JOIN_TOKEN: options.joinToken,
      PORTHOLE_LISTEN_HOST: options.listenHost ?? '127.0.0.1',
      PORT: String(options.port ?? 0),
      PORTHOLE_DATA_DIR: options.dataDir,
      PORTHOLE_HOST_NAME: options.hostName,
      DOCKER_HOST: options.dockerHost,
      BROWSER_RUNTIME_IMAGE: options.image,
      ...(options.containerPrefix && { PORTHOLE_CONTAINER_PREFIX: options.containerPrefix }),
      ...(options.volumePrefix && { PORTHOLE_VOLUME_PREFIX: options.volumePrefix }),
      ...(options.network && { BROWSER_RUNTIME_NETWORK: options.network }),
      ...options.settings,
    },
  })
  const { hostId } = child
  if (!hostId) {
    await child.stop()
    throw new Error('the agent became ready without a host id')
  }
  return { ...child, hostId }
}

const childPlace = ({ root, logDir, logName, within, onSpawn, signal }: Place, name: 'gateway' | 'agent') => ({
  name,
  script: join(root, name, 'src/main.ts'),
  cwd: root,
  logFile: join(logDir, `${logName ?? name}.log`),
  within,
  ...(onSpawn && { onSpawn }),
  signal,
})

const bootstrapAnswer = z.object({
  adminToken: z.string().min(1),
  tenantToken: z.string().min(1),
  joinToken: z.string().min(1),
  viewToken: z.string().min(1),
})
export type BootstrapTokens = z.infer<typeof bootstrapAnswer>

/**
 * Creates the tenant unless it is there, and mints tokens: for an operator, for the tenant, for one joining host (5 minutes),
 * and for watching the owner's browser. Needs a migrated database.
 */
export async function bootstrapTenant(
  options: Pick<Place, 'root' | 'env' | 'signal'> &
    Pick<GatewaySettings, 'databaseUrl' | 'publicUrl' | 'secret'> & { tenant?: string; mode?: string; owner?: string },
): Promise<BootstrapTokens> {
  const { root, tenant = 'default', mode = 'docker-per-principal', owner = 'demo', signal } = options
  const words = ['bootstrap', '--tenant', tenant, '--mode', mode, '--owner', owner]
  const deadline = AbortSignal.timeout(30_000)
  const run = promisify(execFile)(process.execPath, [join(root, 'gateway/src/main.ts'), ...words], {
    cwd: root,
    env: { ...options.env, ...gatewayEnv(options) },
    signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
  })
  const { stdout } = await run.catch((error: Error & { stderr?: string }) => {
    const said = (error.stderr || error.message).slice(-2_000)
    const setting = /^gateway: ([A-Z][A-Z0-9_]+ .*)$/m.exec(said)?.[1]
    if (setting !== undefined) throw new Explained(setting)
    // Its own message would repeat the command; the words on stderr say what went wrong.
    throw new Error(`creating the tenant ${tenant} failed:\n${said}`)
  })
  return bootstrapAnswer.parse(JSON.parse(stdout))
}
