import { existsSync } from 'node:fs'
import { Explained } from '../../infra/dev/explained.ts'
import { aptInstall, findProgram, isDebian } from '../../infra/docker/install.ts'
import type { RunnerConfig } from './config.ts'

const usual = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
]

type Find = { onProgress?: (detail: string) => void; signal?: AbortSignal }

/** A Chromium for the tests; on Debian and Ubuntu root gets one installed. @throws Explained when there is none */
export async function findChromium({ chromium, path }: RunnerConfig, find: Find): Promise<string> {
  if (chromium) {
    if (existsSync(chromium)) return chromium
    throw new Explained(`CHROMIUM_PATH names ${chromium}, which does not exist.`)
  }
  const found = usual.find(file => existsSync(file)) ?? findProgram('chromium', path)
  if (found) return found
  if (isDebian() && process.getuid?.() === 0) {
    await aptInstall(['chromium'], { path, ...find })
    if (existsSync('/usr/bin/chromium')) return '/usr/bin/chromium'
  }
  throw new Explained(`The tests need a Chromium and found none. Install one
  sudo apt-get install -y chromium
or name yours in CHROMIUM_PATH, and run this again.`)
}
