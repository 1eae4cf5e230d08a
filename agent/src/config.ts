import { availableParallelism, homedir, hostname } from 'node:os'
import { pythonStrip } from '@porthole/protocol'
import { type Env, isolationModes, legacySettings, modelEnv, normalizeViewBase } from './browser-env.ts'
import type { EngineEnv } from './engine/locate.ts'
import { pythonInt } from './python-values.ts'

/** Everything the agent is told from outside, read once at boot. */
export type Config = {
  gatewayUrl: string
  /** Path of the CA (PEM) that vouches for an https gateway; absent: those that Node trusts. */
  gatewayCa?: string
  /** One-time; not needed once the host has joined. */
  joinToken?: string
  /** The URL that the gateway reaches this agent at; absent: from the address it listens on. */
  agentUrl?: string
  /** Whether the agent serves TLS itself: always, never (it is plain, or done elsewhere), or unless it is on the loopback. */
  tls: 'auto' | 'on' | 'off'
  listenHost: string
  /** 0: any free port. */
  port: number
  dataDir: string
  /** What operators call this host. */
  hostName: string
  engine: EngineEnv
  /**
   * How the agent reaches its containers: at their bridge address, or through ports published on the loopback, for
   * engines whose bridge is out of the agent's reach (a virtual machine, a rootless engine).
   */
  reach: 'bridge' | 'published'
  containers: ContainerDefaults
  /**
   * Rules in this machine's firewall that keep containers to their egress: without them nothing starts, or it does with
   * a warning, or they are not the agent's business.
   */
  firewall: 'required' | 'best-effort' | 'off'
  slots: number
  gpus: number
  /** What placement may ask of a host, besides `os` and `arch`. */
  labels: Readonly<Record<string, string>>
  /** Bytes below which nothing new is started. */
  minFreeDiskBytes: number
  /** Bytes kept for the machine itself. */
  memoryReserveBytes: number
  /** How many containers may be starting at a time. */
  startsAtOnce: number
  /** Whether the memory of a paused container is written to this machine's swap. */
  swapOut: boolean
  logLevel: LogLevel
  /** Whether to stop when the parent process closes its channel. */
  exitWithParent: boolean
}

/** What this host adds to every recipe. */
export type ContainerDefaults = {
  containerPrefix: string
  volumePrefix: string
  network: string
  image: string
  enableUi: boolean
  /** Base of the view URL for a command that brings none; '' when there is none. */
  viewBase: string
  /** Model settings, weaker than a request's own. */
  modelEnv: Readonly<Record<string, string>>
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** A variable whose value can't be used. Never holds the value, which may be a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly variable: string
  constructor(variable: string, problem: string, remedy: string) {
    super(`${variable} ${problem}. ${remedy}`)
    this.variable = variable
  }
}

/** The agent's own settings from the process's environment. */
export const readConfig = (): Config => parseConfig(process.env)

/**
 * Settings from an environment. Blank means default everywhere but in BROWSER_RUNTIME_ENABLE_UI, where it has always
 * meant off.
 * @throws ConfigError
 */
export const parseConfig = (env: Env): Config => {
  checkLegacy(env)
  const legacy = legacySettings(env)
  const joinToken = text(env, 'PORTHOLE_JOIN_TOKEN')
  const agentUrl = originOf(env, 'PORTHOLE_AGENT_URL')
  const gatewayCa = text(env, 'PORTHOLE_GATEWAY_CA')
  return {
    gatewayUrl: required(
      url(env, 'PORTHOLE_GATEWAY_URL'),
      'PORTHOLE_GATEWAY_URL',
      'Write the URL of your gateway, such as https://porthole.example.com.',
    ),
    ...(joinToken === undefined ? {} : { joinToken }),
    ...(agentUrl === undefined ? {} : { agentUrl }),
    ...(gatewayCa === undefined ? {} : { gatewayCa }),
    tls: oneOf(env, 'PORTHOLE_TLS', ['auto', 'on', 'off'], 'auto'),
    listenHost: text(env, 'PORTHOLE_LISTEN_HOST') ?? '127.0.0.1',
    port: int(env, 'PORT', 4748, 0, 65_535),
    dataDir: text(env, 'PORTHOLE_DATA_DIR') ?? '/var/lib/porthole-agent',
    hostName: slug(env, 'PORTHOLE_HOST_NAME') ?? slugify(hostname()),
    engine: engineEnv(env),
    reach: oneOf(env, 'PORTHOLE_REACH', ['bridge', 'published'], process.platform === 'linux' ? 'bridge' : 'published'),
    containers: {
      containerPrefix: dockerName(env, 'PORTHOLE_CONTAINER_PREFIX', 'browser-use-browser-'),
      volumePrefix: dockerName(env, 'PORTHOLE_VOLUME_PREFIX', 'browser-use-profile-'),
      network: legacy.runtimeNetwork,
      image: legacy.runtimeImage,
      enableUi: legacy.enableUi,
      viewBase: normalizeViewBase(env.BROWSER_VIEW_BASE_URL ?? '') || normalizeViewBase(env.BROWSER_VIEW_URL ?? ''),
      modelEnv: modelEnv(env),
    },
    firewall: oneOf(env, 'PORTHOLE_FIREWALL', ['required', 'best-effort', 'off'], 'best-effort'),
    slots: int(env, 'PORTHOLE_SLOTS', 100, 0, 10_000),
    gpus: int(env, 'PORTHOLE_GPUS', 0, 0, 64),
    labels: labels(env, 'PORTHOLE_LABELS'),
    minFreeDiskBytes: int(env, 'PORTHOLE_MIN_FREE_DISK_MB', 1024, 0, 2 ** 30) * 2 ** 20,
    memoryReserveBytes: int(env, 'PORTHOLE_MEMORY_RESERVE_MB', 1024, 0, 2 ** 30) * 2 ** 20,
    startsAtOnce: int(env, 'PORTHOLE_STARTS_AT_ONCE', availableParallelism(), 1, 1000),
    swapOut: bool(env, 'PORTHOLE_SWAP_OUT', false),
    logLevel: oneOf(env, 'LOG_LEVEL', logLevels, 'info'),
    exitWithParent: bool(env, 'PORTHOLE_EXIT_WITH_PARENT', false),
  }
}

/** The old names, whose reader takes a default for anything it can't read: here that stops the start (PARITY B2). */
const checkLegacy = (env: Env): void => {
  oneOf(env, 'BROWSER_USE_ISOLATION_MODE', isolationModes, 'shared')
  int(env, 'BROWSER_RUNTIME_TTL_SECONDS', 900, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  int(env, 'BROWSER_RUNTIME_START_TIMEOUT', 45, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  bool(env, 'BROWSER_RUNTIME_ENABLE_UI', true)
  dockerName(env, 'BROWSER_RUNTIME_NETWORK', 'browser-net')
  for (const name of ['BROWSER_URL', 'BROWSER_VIEW_BASE_URL', 'BROWSER_VIEW_URL']) url(env, name)
  if (/\s/.test(text(env, 'BROWSER_RUNTIME_IMAGE') ?? '')) {
    throw new ConfigError('BROWSER_RUNTIME_IMAGE', 'holds white space', 'Write one image, such as name:tag.')
  }
}

const engineEnv = (env: Env): EngineEnv => {
  const entries: [keyof EngineEnv, string | undefined][] = [
    ['dockerHost', text(env, 'DOCKER_HOST')],
    ['dockerContext', text(env, 'DOCKER_CONTEXT')],
    ['dockerConfig', text(env, 'DOCKER_CONFIG')],
    ['certPath', text(env, 'DOCKER_CERT_PATH')],
    ['runtimeDir', text(env, 'XDG_RUNTIME_DIR')],
  ]
  return {
    home: text(env, 'HOME') ?? homedir(),
    // Docker's own rule: any value but the empty one asks for TLS.
    tlsVerify: text(env, 'DOCKER_TLS_VERIFY') !== undefined,
    ...Object.fromEntries(entries.filter(([, value]) => value !== undefined)),
  }
}

/** A value without white space around it; undefined when nothing is left. */
const text = (env: Env, name: string): string | undefined => pythonStrip(env[name] ?? '') || undefined

const required = <T>(value: T | undefined, name: string, remedy: string): T => {
  if (value === undefined) throw new ConfigError(name, 'is not set', remedy)
  return value
}

const int = (env: Env, name: string, fallback: number, min: number, max: number): number => {
  const value = text(env, name)
  if (value === undefined) return fallback
  const parsed = pythonInt(value)
  if (parsed === undefined) throw new ConfigError(name, 'is not a whole number', `Write a number such as ${fallback}.`)
  if (parsed < min || parsed > max) {
    throw new ConfigError(name, 'is out of range', `Write a number from ${min} to ${max}.`)
  }
  return parsed
}

const trueWords = ['1', 'true', 'yes', 'on']
const falseWords = ['0', 'false', 'no', 'off']

const bool = (env: Env, name: string, fallback: boolean): boolean => {
  const value = text(env, name)?.toLowerCase()
  if (value === undefined) return fallback
  if (!trueWords.includes(value) && !falseWords.includes(value)) {
    throw new ConfigError(name, 'is neither yes nor no', 'Write true or false.')
  }
  return trueWords.includes(value)
}

const oneOf = <T extends string>(env: Env, name: string, choices: readonly T[], fallback: T): T => {
  const value = text(env, name)?.toLowerCase()
  if (value === undefined) return fallback
  const found = choices.find(choice => choice === value)
  if (found === undefined)
    throw new ConfigError(name, 'is not one of its values', `Write one of ${choices.join(', ')}.`)
  return found
}

/** `zone=a,disk=ssd`. */
const labels = (env: Env, name: string): Record<string, string> =>
  Object.fromEntries(
    (text(env, name) ?? '')
      .split(',')
      .filter(part => part.trim() !== '')
      .map(part => {
        const [, key, value] = /^\s*([A-Za-z0-9][\w./-]{0,62})=([^=]{0,256}?)\s*$/.exec(part) ?? []
        if (key === undefined || value === undefined)
          throw new ConfigError(name, 'is not a list of labels', 'Write zone=a,disk=ssd.')
        return [key, value]
      }),
  )

/** Without slashes at the end. */
const url = (env: Env, name: string): string | undefined => {
  const value = text(env, name)
  if (value === undefined) return undefined
  const parsed = URL.parse(value)
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new ConfigError(name, 'is not an http or https URL', 'Write one such as http://127.0.0.1:4747.')
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new ConfigError(name, 'holds credentials', 'Write it without them: URLs end up in logs.')
  }
  return value.replace(/\/+$/, '')
}

/** The gateway puts paths of its own behind it, and refuses a host whose URL has one. */
const originOf = (env: Env, name: string): string | undefined => {
  const value = url(env, name)
  if (value === undefined || new URL(value).origin === value) return value
  throw new ConfigError(name, 'has more than scheme, host and port', 'Write one such as http://10.0.0.5:4748.')
}

const dockerName = (env: Env, name: string, fallback: string): string => {
  const value = text(env, name)
  if (value === undefined) return fallback
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,100}$/.test(value)) {
    throw new ConfigError(
      name,
      'is not a name Docker takes',
      'Write letters, digits, ".", "_" and "-", a letter or digit first.',
    )
  }
  return value
}

const slugPattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

const slug = (env: Env, name: string): string | undefined => {
  const value = text(env, name)
  if (value !== undefined && !slugPattern.test(value)) {
    throw new ConfigError(name, 'is not a host name', 'Write up to 63 lower-case letters, digits and "-".')
  }
  return value
}

/** A machine's name as one: "Build Box.local" → "build-box-local". */
export const slugify = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '') || 'host'
