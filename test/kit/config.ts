import { Explained } from '../../infra/dev/explained.ts'

/** What `npm test` prepares for the tests that need a real world. */
export type TestConfig = {
  /** A throwaway Postgres; tests make databases of their own on it. */
  databaseUrl: string
  /** As DOCKER_HOST has it. */
  dockerHost: string
  /** The browser image. */
  image: string
  /** The Chromium that plays the person. */
  chromium: string
}

export const names = {
  databaseUrl: 'PORTHOLE_TEST_DATABASE_URL',
  dockerHost: 'DOCKER_HOST',
  image: 'PORTHOLE_TEST_IMAGE',
  chromium: 'CHROMIUM_PATH',
} as const satisfies Record<keyof TestConfig, string>

/** One of the settings above. @throws Explained when the test was not started by `npm test` */
export function testSetting(name: keyof TestConfig, env: NodeJS.ProcessEnv = process.env): string {
  const value = env[names[name]]?.trim()
  if (!value) throw new Explained(`${names[name]} is not set: run this test with npm test -- <part of its file's name>`)
  return value
}

/** Names the folder that a run of `npm test` keeps its logs and secrets in, see evidence-folder.ts. */
export const evidenceVariable = 'PORTHOLE_TEST_EVIDENCE'

/** That folder; undefined when the test was started by hand. */
export const evidenceFolder = (env: NodeJS.ProcessEnv = process.env): string | undefined =>
  env[evidenceVariable]?.trim() || undefined

/** The environment of this process, for what it starts. */
export const inheritedEnv = (): NodeJS.ProcessEnv => ({ ...process.env })

export type RunnerConfig = { chromium: string | undefined; path: string; verbose: boolean }

/** What the test commands themselves are told from outside. */
export const readRunnerConfig = (env: NodeJS.ProcessEnv = process.env): RunnerConfig => ({
  chromium: env[names.chromium]?.trim() || undefined,
  path: env.PATH || '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  verbose: Boolean(env.DEBUG),
})
