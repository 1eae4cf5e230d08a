import { createHash } from 'node:crypto'
import type { PersonalSettings, Recipe, StartCommand } from '@porthole/protocol'
import { parseEnvList, reservedBrowserEnv, viewUrlUnder } from './browser-env.ts'
import type { Config, ContainerDefaults } from './config.ts'
import type { Container, ContainerRequest } from './engine/engine.ts'
import { browserProfile } from './engine/seccomp.ts'
import { containerLabels } from './labels.ts'
import { secretsIn } from './masking.ts'
import { AgentError } from './problems.ts'

/** Where the profile is expected when a recipe mounts none (PARITY B9). */
const defaultDataDir = '/data'
const keyName = 'PORTHOLE_KEY'
/** Tells a container that it is started before it has an owner. */
const warmName = 'PORTHOLE_WARM'
/** Ours alone: a request's value for one of them has no effect, even where the agent sets none. */
const reservedNames = [
  'BROWSER_ENABLE_UI',
  'BROWSER_DATA_DIR',
  'BROWSER_USE_RPC_HOST',
  'BROWSER_USE_RPC_PORT',
  'BROWSER_VIEW_URL',
  // By which NVIDIA's runtime would give a container any GPU that its environment names.
  'NVIDIA_VISIBLE_DEVICES',
  keyName,
  warmName,
]

/** The share of a CPU of a container that nobody has asked for yet: whoever has an owner goes first. */
const warmWeight = 64

export const containerName = (defaults: Pick<ContainerDefaults, 'containerPrefix'>, ownerHash: string): string =>
  `${defaults.containerPrefix}${ownerHash}`

export const volumeName = (defaults: Pick<ContainerDefaults, 'volumePrefix'>, ownerHash: string): string =>
  `${defaults.volumePrefix}${ownerHash}`

/** Every kind of egress has a network of its own, derived from one name; the engine lets nothing out of an internal one. */
export const networkFor = (network: string, egress: Recipe['egress']): { name: string; isInternal: boolean } => ({
  name: egress === 'internet' ? network : `${network}-${egress}`,
  isInternal: egress === 'none',
})

/** A start as asked for, on this host. */
export type Order = {
  hostId: string
  id: string
  command: StartCommand
  /** The key that a keyed container checks. */
  key: string
}

/**
 * What the engine is asked for. Secrets go into the environment and nowhere else.
 * @param gpus those that it gets, by the engine's names for them
 */
export const containerRequest = (
  { hostId, id, command, key }: Order,
  defaults: ContainerDefaults,
  reach: Config['reach'],
  gpus: readonly string[] = [],
): ContainerRequest => {
  const { recipe, ownerHash } = command
  const network = networkFor(defaults.network, recipe.egress)
  if (network.isInternal && reach === 'published') {
    const detail = 'egress "none" needs an engine whose bridge this agent reaches: no port is published from there'
    throw new AgentError('engine-refused', { detail })
  }
  return {
    name: containerName(defaults, ownerHash),
    image: recipe.image ?? defaults.image,
    ...(recipe.entrypoint ? { entrypoint: recipe.entrypoint } : {}),
    ...(recipe.command ? { command: recipe.command } : {}),
    ...(recipe.workingDir ? { workingDir: recipe.workingDir } : {}),
    env: containerEnv(command, key, defaults),
    labels: containerLabels(
      hostId,
      id,
      command,
      gpus,
      command.warm ? fingerprintOf(recipe, defaults, reach) : undefined,
    ),
    network: network.name,
    volumes: recipe.volumePath === null ? [] : [{ name: volumeName(defaults, ownerHash), path: recipe.volumePath }],
    tmpfs: recipe.tmpfs,
    readOnlyRoot: recipe.readOnlyRoot,
    shmBytes: recipe.shmBytes,
    memoryBytes: recipe.memoryBytes,
    cpus: recipe.cpus,
    ...(command.warm ? { cpuShares: warmWeight } : {}),
    gpus,
    pids: recipe.pids,
    seccomp: recipe.seccomp === 'default' ? 'default' : { profile: browserProfile },
    publish: reach === 'published' ? [...new Set(Object.values(recipe.ports))] : [],
  }
}

/** Later wins: the host's model settings, the recipe, the request, and what no request may change. */
const containerEnv = (command: StartCommand, key: string, defaults: ContainerDefaults): Record<string, string> => {
  const { recipe } = command
  return {
    // Of one that waits for an owner nothing here is anybody's: it would come to that owner, who has their own.
    ...unreserved({ ...defaults.modelEnv, ...recipe.env, ...(command.warm ? {} : command.env) }),
    ...reservedBrowserEnv(
      defaults.enableUi,
      recipe.volumePath ?? defaultDataDir,
      command.warm ? undefined : viewUrlOf(command, defaults),
    ),
    ...(recipe.keyed ? { [keyName]: key } : {}),
    ...(command.warm ? { [warmName]: '1' } : {}),
  }
}

const unreserved = (env: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !reservedNames.includes(name)))

const viewUrlOf = ({ viewUrl, ownerHash }: StartCommand, defaults: ContainerDefaults): string | undefined =>
  viewUrl ?? viewUrlUnder(defaults.viewBase, ownerHash)

/** What a container that was started without an owner has yet to be told; undefined: nothing. */
export const personalOf = (command: StartCommand, defaults: ContainerDefaults): PersonalSettings | undefined => {
  const env = unreserved(command.env)
  const viewUrl = viewUrlOf(command, defaults)
  if (Object.keys(env).length === 0 && viewUrl === undefined) return undefined
  return { env, ...(viewUrl === undefined ? {} : { viewUrl }) }
}

/**
 * Stands for all that a container is made from but what is its owner's: two containers that differ in nothing else have the
 * same one. 32 hex digits.
 */
export const fingerprintOf = (recipe: Recipe, defaults: ContainerDefaults, reach: Config['reach']): string => {
  const command: StartCommand = { generation: 1, tenant: '', ownerHash: '', recipe, env: {}, deadlineMs: 1 }
  const nobodys = containerRequest({ hostId: '', id: '', command, key: '' }, { ...defaults, viewBase: '' }, reach)
  const text = JSON.stringify({ ...nobodys, gpus: recipe.gpus ?? 0 }, inOrder)
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

/** Names in one order, whoever wrote them: a database keeps its own. */
const inOrder = (_name: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value

/** Values of a request that must not come back in a log tail or an error. */
export const secretsOf = ({ command, key }: Order, defaults: ContainerDefaults): string[] => {
  const given = { ...defaults.modelEnv, ...command.recipe.env, ...command.env, [keyName]: key }
  return secretsIn(given, [keyName, 'OPENAI_API_KEY'])
}

/** The key a container was made with, read back from the engine. */
export const keyOf = (container: Pick<Container, 'env'>): string | undefined =>
  parseEnvList(container.env).get(keyName) ?? undefined

/** `http://host:port` of one of a container's ports as this agent reaches it; undefined while it has no address. */
export const originOf = (container: Container, port: number, reach: Config['reach']): string | undefined => {
  if (reach === 'published') {
    const hostPort = container.published[port]
    return hostPort === undefined ? undefined : `http://127.0.0.1:${hostPort}`
  }
  return container.address === undefined ? undefined : `http://${container.address}:${port}`
}

/** The container port that a name stands for. */
export const portOf = (ports: Readonly<Record<string, number>>, name: string): number => {
  const port = Object.hasOwn(ports, name) ? ports[name] : undefined
  if (port === undefined) throw new AgentError('not-found', { detail: 'the runtime has no port of that name' })
  return port
}
