import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { type PlacementPolicy, placementPolicies } from '@porthole/db'
import { normalizeBaseUrl } from './identity/view-url.ts'
import { type Spec, usualStopSeconds, type WarmSize } from './runtimes/specs.ts'
import { parseSpecs } from './runtimes/specs-file.ts'

/** How much one gateway takes on before it says no. Times are milliseconds. */
export type Limits = {
  /** Open connections in all: `PORTHOLE_MAX_CONNECTIONS`. One more is closed at once. */
  connections: number
  /** Open connections per remote address (IPv6: per /64): `PORTHOLE_MAX_CONNECTIONS_PER_ADDRESS`. */
  connectionsPerAddress: number
  /** Addresses that speak for many, and count only in all: `PORTHOLE_PROXIES`, with commas. */
  proxies: readonly string[]
  /** From a connection, or a request's first byte, to the end of its head: `PORTHOLE_HEAD_TIMEOUT`, seconds. Then 408. */
  headMs: number
  /** From the head to the end of a body that the API reads: `PORTHOLE_BODY_TIMEOUT`, seconds. Then 408. */
  bodyMs: number
  /** Edge sockets, and edge requests under way: `PORTHOLE_MAX_OPEN`. One more is a 503. */
  open: number
  /** The same of one tenant, so that it leaves room for others: `PORTHOLE_MAX_OPEN_PER_TENANT`. One more is a 429. */
  openPerTenant: number
  /** The same of one owner: `PORTHOLE_MAX_OPEN_PER_OWNER`. One more is a 429. */
  openPerOwner: number
  /** Silence both ways that ends a socket: `PORTHOLE_SOCKET_IDLE`, seconds. Pings are not silence. 0: none does. */
  socketIdleMs: number
  /** Age at which a socket or request ends in any case: `PORTHOLE_SOCKET_AGE`, seconds. 0: at none. */
  socketAgeMs: number
}

export type Config = {
  databaseUrl: string
  /** Seals signing keys and environments at rest. */
  secret: string
  listenHost: string
  /** 0: any free one. */
  port: number
  /** The one public URL, without a trailing slash; undefined: where we listen. */
  publicUrl: string | undefined
  /** Further origins whose pages may open sockets here. */
  allowedOrigins: readonly string[]
  /** Domain whose every name leads here, so that named ports have origins of their own; undefined: they have none. */
  portDomain: string | undefined
  /** An operator's specs, besides the built-in ones. */
  specs: readonly Spec[]
  /** Seconds unused until a runtime is stopped, where neither its request nor an operator's spec says; 0: never. */
  stopSeconds: number
  /** How many browsers each host keeps started for new owners; `auto`: as many as have lately been asked for at once. */
  warm: WarmSize
  /** Whether hosts may join with plain HTTP at an address that is not loopback. */
  allowPlainAgents: boolean
  /** How runtimes that ask for nothing else are placed. */
  placement: PlacementPolicy
  /** Milliseconds a start may take until the runtime is ready. */
  startTimeoutMs: number
  limits: Limits
  logLevel: string
  exitWithParent: boolean
}

/** A setting is missing or malformed. The message names it and says what to write. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

type Env = Record<string, string | undefined>

const required = (env: Env, name: string, what: string): string => {
  const value = env[name]?.trim()
  if (!value) throw new ConfigError(`${name} is not set: ${what}`)
  return value
}

const integer = (env: Env, name: string, fallback: number, min: number, max: number): number => {
  const value = env[name]?.trim()
  if (!value) return fallback
  if (!/^\d+$/.test(value) || Number(value) < min || Number(value) > max)
    throw new ConfigError(`${name} must be a whole number from ${min} to ${max}, not ${JSON.stringify(value)}`)
  return Number(value)
}

/** The first is what an unset one means. */
const oneOf = <T extends string>(env: Env, name: string, words: readonly [T, ...T[]]): T => {
  const value = env[name]?.trim().toLowerCase() || words[0]
  const word = words.find(known => known === value)
  if (word === undefined) throw new ConfigError(`${name} must be one of ${words.join(', ')}`)
  return word
}

const flag = (env: Env, name: string): boolean => {
  const value = env[name]?.trim().toLowerCase() || 'false'
  if (!['true', '1', 'false', '0'].includes(value)) throw new ConfigError(`${name} must be true or false`)
  return value === 'true' || value === '1'
}

const url = (name: string, value: string, protocols: readonly string[]): string => {
  const parsed = URL.canParse(value) ? new URL(value) : undefined
  if (!parsed || !protocols.includes(parsed.protocol))
    throw new ConfigError(`${name} must be a URL that starts with ${protocols.map(p => `${p}//`).join(' or ')}`)
  return value
}

const origin = (value: string): string => {
  url('PORTHOLE_ALLOWED_ORIGINS', value, ['http:', 'https:'])
  if (new URL(value).origin !== value)
    throw new ConfigError(
      `PORTHOLE_ALLOWED_ORIGINS takes origins like https://app.example.com, not ${JSON.stringify(value)}`,
    )
  return value
}

const list = (value: string): string[] =>
  value
    .split(',')
    .map(part => part.trim())
    .filter(Boolean)

const address = (value: string): string => {
  if (isIP(value) === 0)
    throw new ConfigError(`PORTHOLE_PROXIES takes IP addresses like 10.0.0.7, not ${JSON.stringify(value)}`)
  return value
}

/** A domain, as it stands in host names. */
const domainFrom = (env: Env): string | undefined => {
  const domain = env.PORTHOLE_PORT_DOMAIN?.trim().toLowerCase()
  if (!domain) return undefined
  if (!/^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$/.test(domain) || isIP(domain) !== 0)
    throw new ConfigError(
      'PORTHOLE_PORT_DOMAIN must be a domain like ports.example.com, of which *.ports.example.com leads here',
    )
  return domain
}

const warmFrom = (env: Env): WarmSize => {
  const text = env.PORTHOLE_WARM?.trim() || '0'
  if (text === 'auto') return text
  const size = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN
  if (!(size <= 100)) throw new ConfigError('PORTHOLE_WARM must be auto, or a number of browsers from 0 to 100')
  return size
}

const specsFrom = (env: Env, stopSeconds: number, readText: (path: string) => string): Spec[] => {
  const path = env.PORTHOLE_SPECS?.trim()
  if (!path) return []
  try {
    return parseSpecs(readText(path), stopSeconds)
  } catch (error) {
    throw new ConfigError(
      `PORTHOLE_SPECS names a file that can not be used: ${error instanceof Error ? error.message : error}`,
    )
  }
}

const limitsFrom = (env: Env): Limits => ({
  connections: integer(env, 'PORTHOLE_MAX_CONNECTIONS', 10_000, 1, 1_000_000),
  connectionsPerAddress: integer(env, 'PORTHOLE_MAX_CONNECTIONS_PER_ADDRESS', 2000, 1, 1_000_000),
  // Whoever is on this machine already is most likely what ends TLS here.
  proxies: list(env.PORTHOLE_PROXIES ?? '127.0.0.1, ::1').map(address),
  headMs: integer(env, 'PORTHOLE_HEAD_TIMEOUT', 15, 1, 300) * 1000,
  bodyMs: integer(env, 'PORTHOLE_BODY_TIMEOUT', 30, 1, 300) * 1000,
  // Fewer than connections, so that who is one too many is told so rather than cut off.
  open: integer(env, 'PORTHOLE_MAX_OPEN', 8000, 1, 1_000_000),
  openPerTenant: integer(env, 'PORTHOLE_MAX_OPEN_PER_TENANT', 6000, 1, 1_000_000),
  openPerOwner: integer(env, 'PORTHOLE_MAX_OPEN_PER_OWNER', 500, 1, 1_000_000),
  socketIdleMs: integer(env, 'PORTHOLE_SOCKET_IDLE', 7200, 0, 2_000_000) * 1000,
  socketAgeMs: integer(env, 'PORTHOLE_SOCKET_AGE', 86_400, 0, 2_000_000) * 1000,
})

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']

/**
 * The gateway's settings, read once.
 *
 * @param readText reads the file that holds specs
 * @throws ConfigError
 */
export const parseConfig = (env: Env, readText = (path: string) => readFileSync(path, 'utf8')): Config => {
  const databaseUrl = url('DATABASE_URL', required(env, 'DATABASE_URL', 'give it postgres://user:password@host/db'), [
    'postgres:',
    'postgresql:',
  ])
  const secret = required(env, 'PORTHOLE_SECRET', 'give it 32 or more random characters, and keep them')
  if (secret.length < 32) throw new ConfigError('PORTHOLE_SECRET is too short: it needs 32 or more random characters')
  const base = normalizeBaseUrl(env.PUBLIC_URL ?? '')
  if (base) {
    url('PUBLIC_URL', base, ['http:', 'https:'])
    const { search, hash, username } = new URL(base)
    if (search || hash || username)
      throw new ConfigError('PUBLIC_URL must be a plain URL, without user name, query or fragment')
  }
  const logLevel = env.LOG_LEVEL?.trim() || 'info'
  if (!logLevels.includes(logLevel)) throw new ConfigError(`LOG_LEVEL must be one of ${logLevels.join(', ')}`)
  // Up to a year.
  const stopSeconds = integer(env, 'PORTHOLE_STOP_AFTER', usualStopSeconds, 0, 31_536_000)
  return {
    databaseUrl,
    secret,
    listenHost: env.PORTHOLE_LISTEN_HOST?.trim() || '127.0.0.1',
    port: integer(env, 'PORT', 4747, 0, 65_535),
    publicUrl: base || undefined,
    allowedOrigins: list(env.PORTHOLE_ALLOWED_ORIGINS ?? '').map(origin),
    portDomain: domainFrom(env),
    specs: specsFrom(env, stopSeconds, readText),
    stopSeconds,
    warm: warmFrom(env),
    allowPlainAgents: flag(env, 'PORTHOLE_ALLOW_PLAIN_AGENTS'),
    placement: oneOf(env, 'PORTHOLE_PLACEMENT', placementPolicies),
    startTimeoutMs: integer(env, 'BROWSER_RUNTIME_START_TIMEOUT', 45, 1, 600) * 1000,
    limits: limitsFrom(env),
    logLevel,
    exitWithParent: env.PORTHOLE_EXIT_WITH_PARENT === '1',
  }
}

/** The settings of this process. @throws ConfigError */
export const readConfig = (): Config => parseConfig(process.env)
