import { existsSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Explained } from '../../infra/dev/explained.ts'
import { aptInstall, isDebian } from '../../infra/docker/install.ts'

/** A process' clock, which can be set wrong while it runs. Only the time of day: what measures durations stays true. */
export type LabClock = {
  /** What a process with this clock is started with. */
  env: Readonly<Record<string, string>>
  /** Sets it that far ahead, negative: behind. The process sees it within `lagMs`. */
  shift(seconds: number): Promise<void>
}

/** How often a process looks at the file that its clock is set by, in seconds. */
const lookSeconds = 1
/** Milliseconds after which a shift is seen for sure. */
export const lagMs = lookSeconds * 1000 + 500

/** The library that stands between a process and its clock, from Debian's package of that name. */
const libraryName = 'libfaketime.so.1'

/**
 * Clocks that can be set wrong, kept in files of `folder`. Installs what that takes where it may.
 * @throws Explained where the library is missing
 */
export async function makeClocks(folder: string, path: string): Promise<(name: string) => Promise<LabClock>> {
  let library = await findLibrary()
  if (!library && isDebian()) {
    await aptInstall(['libfaketime'], { path })
    library = await findLibrary()
  }
  if (!library) throw new Explained('Clocks that can be set wrong need libfaketime. Install it and run this again.')
  const found = library
  await mkdir(folder, { recursive: true })
  return async name => {
    const file = join(folder, name)
    const shift = (seconds: number) => writeFile(file, `${seconds < 0 ? '' : '+'}${seconds}\n`)
    await shift(0)
    return {
      shift,
      env: {
        LD_PRELOAD: found,
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_CACHE_DURATION: String(lookSeconds),
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      },
    }
  }
}

/** Under the folder of the machine's own architecture: /usr/lib/x86_64-linux-gnu/faketime, say. */
async function findLibrary(): Promise<string | undefined> {
  const folders = await readdir('/usr/lib')
  return ['', ...folders].map(name => join('/usr/lib', name, 'faketime', libraryName)).find(file => existsSync(file))
}
