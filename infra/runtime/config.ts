/** What the container is told through its environment, parsed once at the start. */
export type Config = {
  /** Whether there is a screen to watch; without one Chromium runs headless and no X server is started. */
  ui: boolean
  /** The profile volume. */
  dataDir: string
  rpc: { host: string; port: number }
  cdpPort: number
  viewPort: number
  /** Where people watch this runtime, when whoever started it knows; only handed on in `/health`. */
  viewUrl: string | undefined
  screen: { width: number; height: number }
  /** What callers must send as `x-porthole-key`; undefined lets everybody in. */
  key: string | undefined
  /** Whether it was started before it had an owner, and takes that owner's settings. */
  takesPersonal: boolean
  /** Those of the model's settings that say something. */
  modelNames: ReadonlySet<string>
  /** Whether a model is configured, so that a `{task}` could be understood. */
  modelConfigured: boolean
  /** Environment for X and Chromium: everything but secrets. */
  childEnv: Record<string, string>
}

/**
 * Thrown for a value that can't be used; the message names the variable and what it must look like. Not the value: it goes
 * to the log, and may be a secret that was given to the wrong name.
 */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

type Environment = Record<string, string | undefined>

/** The value without white space at its ends; blank counts as absent. */
const text = (env: Environment, name: string): string | undefined => env[name]?.trim() || undefined

/** True for 1, true, yes and on, in any case; false for everything else that is not blank. */
export const parseBoolean = (value: string | undefined, fallback: boolean): boolean =>
  value === undefined ? fallback : ['1', 'true', 'yes', 'on'].includes(value.toLowerCase())

const port = (env: Environment, name: string, fallback: number): number => {
  const value = text(env, name)
  if (value === undefined) return fallback
  const parsed = /^\d{1,5}$/.test(value) ? Number(value) : 0
  if (parsed < 1 || parsed > 65535) throw new ConfigError(`${name} must be a port from 1 to 65535`)
  return parsed
}

const screen = (env: Environment): Config['screen'] => {
  const value = text(env, 'BROWSER_SCREEN') ?? '1280x800'
  const [, width, height] = /^(\d{3,4})x(\d{3,4})$/.exec(value) ?? []
  if (width === undefined || height === undefined) {
    throw new ConfigError(`BROWSER_SCREEN must be <width>x<height> in pixels, such as 1280x800`)
  }
  return { width: Number(width), height: Number(height) }
}

const dataDir = (env: Environment): string => {
  const value = text(env, 'BROWSER_DATA_DIR') ?? '/data'
  if (!value.startsWith('/')) throw new ConfigError(`BROWSER_DATA_DIR must be an absolute path`)
  return value
}

const withoutSecrets = (env: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !isSecret(name)))

/** Anything of this kind stays with this process: a page must not find it in Chromium's memory or /proc. */
const isSecret = (name: string): boolean => name.startsWith('PORTHOLE_') || name.startsWith('OPENAI_')

/** All that can be told after the start: what has been started has read everything else. */
export const modelNames: readonly string[] = ['OPENAI_BASE_URL', 'OPENAI_API_KEY', 'MODEL_DEFAULT']

/** @param said the names that say something */
const model = (said: ReadonlySet<string>): Pick<Config, 'modelNames' | 'modelConfigured'> => ({
  modelNames: said,
  modelConfigured: modelNames.every(name => said.has(name)),
})

/**
 * The configuration with what an owner who came after the start has of their own. The environment of X and of the Chromium
 * that runs is what it was; one that is started again has the new one.
 */
export const withPersonal = (
  config: Config,
  { env, viewUrl }: { env: Readonly<Record<string, string>>; viewUrl?: string },
): Config => {
  const said = modelNames.filter(name =>
    Object.hasOwn(env, name) ? text(env, name) !== undefined : config.modelNames.has(name),
  )
  return {
    ...config,
    ...model(new Set(said)),
    viewUrl: viewUrl?.trim() || config.viewUrl,
    childEnv: { ...config.childEnv, ...withoutSecrets(env) },
  }
}

/**
 * Reads the environment.
 * @throws ConfigError for a malformed value.
 */
export const parseConfig = (env: Environment): Config => {
  const rpc = { host: text(env, 'BROWSER_USE_RPC_HOST') ?? '0.0.0.0', port: port(env, 'BROWSER_USE_RPC_PORT', 8787) }
  const entries = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return {
    ui: parseBoolean(text(env, 'BROWSER_ENABLE_UI'), true),
    dataDir: dataDir(env),
    rpc,
    cdpPort: 9222,
    viewPort: 6080,
    viewUrl: text(env, 'BROWSER_VIEW_URL'),
    screen: screen(env),
    key: env.PORTHOLE_KEY || undefined,
    takesPersonal: env.PORTHOLE_WARM === '1' && Boolean(env.PORTHOLE_KEY),
    ...model(new Set(modelNames.filter(name => text(env, name) !== undefined))),
    childEnv: withoutSecrets(Object.fromEntries(entries)),
  }
}

/** The configuration of this process. */
export const readConfig = (): Config => parseConfig(process.env)
