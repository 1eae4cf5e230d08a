import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import type { Config } from './config.ts'

/** Chromium's own folder in the volume. */
export const profileDir = (config: Pick<Config, 'dataDir'>): string => `${config.dataDir}/profile`

/**
 * Removes the locks of a Chromium that was killed. A lock of another hostname makes Chromium hang on a dialog without
 * DevTools; the volume is this container's alone, so no lock in it can be alive.
 */
const removeLocks = async (directory: string): Promise<void> => {
  const names = await readdir(directory)
  const locks = names.filter(name => name.startsWith('Singleton'))
  await Promise.all(locks.map(name => rm(`${directory}/${name}`, { force: true, recursive: true })))
}

/** What a fresh profile begins with, where there is no policy for it: no window buttons, a minimised window is lost. */
const firstPreferences = { browser: { custom_chrome_frame: false } }

/** @returns whether the profile is a fresh one */
const writeFirstPreferences = async (directory: string): Promise<boolean> => {
  await mkdir(`${directory}/Default`, { recursive: true, mode: 0o700 })
  try {
    await writeFile(`${directory}/Default/Preferences`, JSON.stringify(firstPreferences), { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** Where Chromium writes down what is open: in both. */
const sessionFolders = ['Sessions', 'Sessions_Encrypted']

/** Without these Chromium has nothing to open again; by itself it does so however it ended (policy `RestoreOnStartup`). */
const forgetPages = async (directory: string): Promise<void> => {
  for (const folder of sessionFolders) {
    const sessions = `${directory}/Default/${folder}`
    const names = await readdir(sessions).catch(() => [])
    await Promise.all(names.filter(name => name.startsWith('Session_')).map(name => rm(`${sessions}/${name}`)))
  }
}

/**
 * Makes the profile's folder and takes stale locks away.
 * @param options.restore whether Chromium is to open the pages of its last session again; not where they are what kills it
 * @returns whether there are such pages
 * @throws Error when the volume cannot be used
 */
export const prepareProfile = async (
  config: Pick<Config, 'dataDir'>,
  { restore }: { restore: boolean },
): Promise<boolean> => {
  const directory = profileDir(config)
  try {
    const isFresh = await writeFirstPreferences(directory)
    await Promise.all([removeLocks(directory), ...(restore ? [] : [forgetPages(directory)])])
    return restore && !isFresh
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(
      `The profile can't be used, ${config.dataDir} must be a volume that uid 1000 may write: ${reason}`,
      {
        cause,
      },
    )
  }
}
