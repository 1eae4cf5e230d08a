import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import type { EngineAddress } from './docker.ts'

/** What the search reads from the environment; the names are Docker's own. */
export type EngineEnv = {
  dockerHost?: string
  dockerContext?: string
  /** Directory of `config.json`; default `~/.docker`. */
  dockerConfig?: string
  tlsVerify?: boolean
  /** Directory of `ca.pem`, `cert.pem`, `key.pem`; default `~/.docker`. */
  certPath?: string
  runtimeDir?: string
  home: string
}

/** The part of a file system that the search needs. */
export type Files = {
  /** Undefined when there is no such file. */
  read(path: string): Promise<string | undefined>
  isSocket(path: string): Promise<boolean>
}

/** No engine was found, or what names one makes no sense. The message says what to do. */
export class EngineNotFound extends Error {
  override readonly name = 'EngineNotFound'
}

/** An engine's address and what named it, for the log. */
export type Located = { address: EngineAddress; from: string }

/**
 * Finds the engine as Docker's own client does (DOCKER_HOST, then the chosen context), then in the places where
 * engines put their sockets.
 * @throws EngineNotFound
 */
export const locateEngine = async (env: EngineEnv, files: Files): Promise<Located> =>
  (await fromHost(env, files)) ?? (await fromContext(env, files)) ?? (await fromUsualPlaces(env, files))

const fromHost = async (env: EngineEnv, files: Files): Promise<Located | undefined> => {
  if (!env.dockerHost) return undefined
  const certPath = env.tlsVerify ? (env.certPath ?? configDir(env)) : undefined
  return { address: await toAddress(env.dockerHost, certPath, files, 'DOCKER_HOST'), from: 'DOCKER_HOST' }
}

const configFile = z.object({ currentContext: z.string().optional() })
const contextMeta = z.object({ Endpoints: z.object({ docker: z.object({ Host: z.string() }) }) })

const fromContext = async (env: EngineEnv, files: Files): Promise<Located | undefined> => {
  const dir = configDir(env)
  const config = await readJson(join(dir, 'config.json'), configFile, files)
  const name = env.dockerContext || config?.currentContext
  if (!name || name === 'default') return undefined
  const id = createHash('sha256').update(name).digest('hex')
  const meta = await readJson(join(dir, 'contexts', 'meta', id, 'meta.json'), contextMeta, files)
  if (!meta) {
    throw new EngineNotFound(`The Docker context "${name}" is chosen but not defined. Run: docker context ls`)
  }
  const from = `context ${name}`
  const tlsDir = join(dir, 'contexts', 'tls', id, 'docker')
  const hasTls = (await files.read(join(tlsDir, 'ca.pem'))) !== undefined
  return { address: await toAddress(meta.Endpoints.docker.Host, hasTls ? tlsDir : undefined, files, from), from }
}

const fromUsualPlaces = async (env: EngineEnv, files: Files): Promise<Located> => {
  const places = [
    '/var/run/docker.sock',
    ...(env.runtimeDir ? [join(env.runtimeDir, 'docker.sock'), join(env.runtimeDir, 'podman', 'podman.sock')] : []),
    join(env.home, '.docker', 'run', 'docker.sock'),
    join(env.home, '.colima', 'default', 'docker.sock'),
    join(env.home, '.orbstack', 'run', 'docker.sock'),
  ]
  for (const socketPath of places) {
    if (await files.isSocket(socketPath)) return { address: { socketPath }, from: socketPath }
  }
  throw new EngineNotFound(
    `No Docker engine was found. Looked at DOCKER_HOST, the docker context, and ${places.join(', ')}. Install or start one, or set DOCKER_HOST.`,
  )
}

const configDir = (env: EngineEnv): string => env.dockerConfig || join(env.home, '.docker')

const readJson = async <T>(path: string, schema: z.ZodType<T>, files: Files): Promise<T | undefined> => {
  const text = await files.read(path)
  if (text === undefined) return undefined
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new EngineNotFound(`${path} can't be read as Docker writes it. Mend or remove it, or set DOCKER_HOST.`, {
      cause,
    })
  }
}

/** `tlsDir`: where the three PEM files are; undefined for no TLS. */
const toAddress = async (
  host: string,
  tlsDir: string | undefined,
  files: Files,
  from: string,
): Promise<EngineAddress> => {
  if (host.startsWith('unix://')) return { socketPath: host.slice('unix://'.length) || '/var/run/docker.sock' }
  if (host.startsWith('npipe://')) return { socketPath: host.slice('npipe://'.length) }
  const url = URL.parse(host.includes('://') ? host : `tcp://${host}`)
  if (url === null || !['tcp:', 'http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    throw new EngineNotFound(
      `${from} names an engine that can't be reached from here: the agent runs beside its engine. Write unix:///path or tcp://host:port.`,
    )
  }
  const secure = tlsDir !== undefined || url.protocol === 'https:'
  const port = url.port === '' ? (secure ? 2376 : 2375) : Number(url.port)
  if (!secure) return { host: url.hostname, port }
  const pem = async (name: string): Promise<string> => {
    const path = join(tlsDir ?? '', name)
    const text = tlsDir === undefined ? undefined : await files.read(path)
    if (text === undefined) {
      throw new EngineNotFound(
        `${from} asks for TLS but ${path} is missing. Set DOCKER_CERT_PATH and DOCKER_TLS_VERIFY=1.`,
      )
    }
    return text
  }
  return {
    host: url.hostname,
    port,
    tls: { ca: await pem('ca.pem'), cert: await pem('cert.pem'), key: await pem('key.pem') },
  }
}
