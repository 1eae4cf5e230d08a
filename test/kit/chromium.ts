import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testSetting } from './config.ts'

export type ChromiumLaunch = {
  executablePath: string
  args: string[]
  userDataDir: string
  /** Removes the user data folder; after the browser is closed. */
  remove(): void
}

/**
 * How a test launches the Chromium that plays the person: as root it has no sandbox of its own, and it phones nobody. QUIC is
 * off because the gateway under test speaks TCP only.
 */
export function chromiumLaunch(executablePath = testSetting('chromium')): ChromiumLaunch {
  const userDataDir = mkdtempSync(join(tmpdir(), 'porthole-chromium-'))
  return {
    executablePath,
    userDataDir,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
    remove: () => rmSync(userDataDir, { recursive: true, force: true, maxRetries: 3 }),
  }
}
