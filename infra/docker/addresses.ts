import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { Explained } from '../dev/explained.ts'
import { readJson } from '../dev/files.ts'
import type { EngineConfig } from './config.ts'

/** Where an engine may be: its address as DOCKER_HOST would have it, and where we have that from. */
export type Candidate = { address: string; from: string }

/**
 * Where to look for an engine, best first. DOCKER_HOST and a chosen docker context are the person's word: they stand
 * alone. Otherwise the places where Docker, Podman, OrbStack, Colima and Rancher Desktop put their sockets.
 */
export function candidates(config: EngineConfig, isRoot = process.getuid?.() === 0): Candidate[] {
  if (config.dockerHost) return [{ address: config.dockerHost, from: 'DOCKER_HOST' }]
  const context = contextAddress(config)
  if (context) return [context]
  const { home, runtimeFolder } = config
  const sockets = [
    '/var/run/docker.sock',
    ...(runtimeFolder ? [`${runtimeFolder}/docker.sock`] : []),
    `${home}/.docker/run/docker.sock`,
    `${home}/.docker/desktop/docker.sock`,
    `${home}/.orbstack/run/docker.sock`,
    `${home}/.colima/default/docker.sock`,
    `${home}/.config/colima/default/docker.sock`,
    `${home}/.rd/docker.sock`,
    ...(runtimeFolder ? [`${runtimeFolder}/podman/podman.sock`] : []),
    // Only root may walk to this one, and a refusal there says nothing about Docker.
    ...(isRoot ? ['/run/podman/podman.sock'] : []),
    `${home}/.local/share/containers/podman/machine/podman.sock`,
  ]
  return sockets.map(path => ({ address: `unix://${path}`, from: 'socket' }))
}

const currentContext = z.object({ currentContext: z.string().optional() })
const contextMeta = z.object({ Endpoints: z.object({ docker: z.object({ Host: z.string() }) }) })

/** The engine of the docker command's current context. Its settings lie in a folder named by the hash of its name. */
function contextAddress(config: EngineConfig): Candidate | undefined {
  const name = config.context ?? readJson(join(config.configFolder, 'config.json'), currentContext)?.currentContext
  if (!name || name === 'default') return undefined
  const folder = createHash('sha256').update(name).digest('hex')
  const meta = readJson(join(config.configFolder, 'contexts/meta', folder, 'meta.json'), contextMeta)
  return meta && { address: meta.Endpoints.docker.Host, from: `the docker context ${name}` }
}

/** How to reach an address; ssh and Windows pipes are not spoken here. */
export type Connection =
  | { socketPath: string }
  | { protocol: 'http' | 'https'; host: string; port: number; certPath: string | undefined }

export function parseAddress(address: string, config: Pick<EngineConfig, 'tls' | 'certPath'>): Connection {
  if (address.startsWith('unix://')) return { socketPath: address.slice('unix://'.length) }
  if (address.startsWith('/')) return { socketPath: address }
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (!url?.hostname || !['tcp:', 'http:', 'https:'].includes(url.protocol)) {
    throw new Explained(
      `The Docker address ${address} is not one Porthole can use. It speaks unix:///path/to/docker.sock and tcp://host:port.`,
    )
  }
  const tls = config.tls || url.protocol === 'https:'
  const port = Number(url.port) || (tls ? 2376 : 2375)
  return { protocol: tls ? 'https' : 'http', host: url.hostname, port, certPath: tls ? config.certPath : undefined }
}
