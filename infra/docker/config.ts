import { homedir } from 'node:os'

/** What the environment says about the Docker engine; blank counts as unset. */
export type EngineConfig = {
  dockerHost: string | undefined
  context: string | undefined
  /** Folder of the docker command's own settings. */
  configFolder: string
  certPath: string | undefined
  tls: boolean
  runtimeFolder: string | undefined
  home: string
  path: string
}

export function parseEngineConfig(env: NodeJS.ProcessEnv, home: string): EngineConfig {
  return {
    dockerHost: env.DOCKER_HOST || undefined,
    context: env.DOCKER_CONTEXT || undefined,
    configFolder: env.DOCKER_CONFIG || `${home}/.docker`,
    certPath: env.DOCKER_CERT_PATH || undefined,
    tls: Boolean(env.DOCKER_TLS_VERIFY),
    runtimeFolder: env.XDG_RUNTIME_DIR || undefined,
    home,
    path: env.PATH || '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  }
}

export const readEngineConfig = (): EngineConfig => parseEngineConfig(process.env, homedir())
