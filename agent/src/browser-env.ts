import { pythonStrip } from '@porthole/protocol'
import { asBool, asInt } from './python-values.ts'

/** An environment as a process or a container has it. */
export type Env = Readonly<Record<string, string | undefined>>

export const isolationModes = ['shared', 'docker-per-principal', 'docker-per-task'] as const
export type IsolationMode = (typeof isolationModes)[number]
const isIsolationMode = (value: string): value is IsolationMode => isolationModes.some(mode => mode === value)

/** The settings of the single-host program whose variables the agent still accepts (PARITY B2). */
export type LegacySettings = {
  mode: IsolationMode
  runtimeImage: string
  runtimeNetwork: string
  runtimeTtlSeconds: number
  runtimeStartTimeoutSeconds: number
  sharedCdpUrl: string
  enableUi: boolean
}

const textOr = (value: string | undefined, fallback: string): string => pythonStrip(value ?? '') || fallback

/**
 * The settings as the single-host program read them: blank or malformed means default. The agent's own boot is
 * stricter (`parseConfig` refuses malformed values) and calls this only for what has passed.
 */
export const legacySettings = (env: Env): LegacySettings => {
  const mode = textOr(env.BROWSER_USE_ISOLATION_MODE, 'shared').toLowerCase()
  return {
    mode: isIsolationMode(mode) ? mode : 'shared',
    runtimeImage: textOr(env.BROWSER_RUNTIME_IMAGE, 'browser-use-browser-runtime:latest'),
    runtimeNetwork: textOr(env.BROWSER_RUNTIME_NETWORK, 'browser-net'),
    runtimeTtlSeconds: asInt(env.BROWSER_RUNTIME_TTL_SECONDS, 900),
    runtimeStartTimeoutSeconds: asInt(env.BROWSER_RUNTIME_START_TIMEOUT, 45),
    sharedCdpUrl: textOr(env.BROWSER_URL, 'http://browser:9222'),
    enableUi: asBool(env.BROWSER_RUNTIME_ENABLE_UI, true),
  }
}

/** A view's base URL without its page: cut at the first `/vnc.html`, else `/index.html`; no slashes at the end. */
export const normalizeViewBase = (raw: string): string => {
  const text = pythonStrip(raw)
  const page = ['/vnc.html', '/index.html'].find(name => text.includes(name))
  const base = page === undefined ? text : text.slice(0, text.indexOf(page))
  return base.replace(/\/+$/, '')
}

/** The view of one owner under `base` (PARITY B19), or undefined without a base. */
export const viewUrlUnder = (base: string, ownerHash: string): string | undefined =>
  base === '' ? undefined : `${base}/view/${ownerHash}/vnc.html?path=view/${ownerHash}/websockify`

const passedOn = ['MODEL_DEFAULT', 'OPENAI_API_KEY', 'OPENAI_BASE_URL'] as const

/** The model settings that are handed to containers when the host has them, even empty (PARITY B9). */
export const modelEnv = (env: Env): Record<string, string> =>
  Object.fromEntries(passedOn.flatMap(name => (env[name] === undefined ? [] : [[name, env[name]]])))

/** What every browser container is told and no request may change, in the order of PARITY B9. */
export const reservedBrowserEnv = (
  enableUi: boolean,
  dataDir: string,
  viewUrl: string | undefined,
): Record<string, string> => ({
  BROWSER_ENABLE_UI: String(enableUi),
  BROWSER_DATA_DIR: dataDir,
  BROWSER_USE_RPC_HOST: '0.0.0.0',
  BROWSER_USE_RPC_PORT: '8787',
  ...(viewUrl ? { BROWSER_VIEW_URL: viewUrl } : {}),
})

/**
 * Docker's `Config.Env` as a map: cut at the first `=`; a name without one has no value.
 * @throws TypeError when the list is absent.
 */
export const parseEnvList = (list: readonly string[] | null): Map<string, string | null> => {
  if (list === null) throw new TypeError('the container has no environment list')
  return new Map(
    list.map(entry => {
      const cut = entry.indexOf('=')
      return cut < 0 ? [entry, null] : [entry.slice(0, cut), entry.slice(cut + 1)]
    }),
  )
}
