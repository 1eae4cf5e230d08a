import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Docker from 'dockerode'
import { hasCommand, runCommand } from './command.ts'
import { followEngine, idleSignal } from './engine-stream.ts'
import { ImageError, imageError } from './image-error.ts'
import type { EngineArchitecture } from './node-binary.ts'
import type { OnProgress } from './progress.ts'

const published = 'debian:bookworm-slim'
const bootstrapped = 'porthole-base:bookworm'

/** A registry that can't be reached must not hold the start up for long; one that delivers may take its time. */
const pullIdleMs = 15_000
const pullDeadlineMs = 5 * 60_000
const bootstrapDeadlineMs = 15 * 60_000

export type BaseOptions = {
  docker: Docker
  architecture: EngineArchitecture
  onProgress: OnProgress
  signal: AbortSignal
}

/** The id of an image on the engine, undefined when it has none of that name for this architecture. */
const findImage = async ({ docker, architecture }: BaseOptions, reference: string): Promise<string | undefined> => {
  try {
    const { Id, Architecture } = await docker.getImage(reference).inspect()
    return Architecture === architecture ? Id : undefined
  } catch (error) {
    if (error instanceof Error && 'statusCode' in error && error.statusCode === 404) return undefined
    throw error
  }
}

const pull = async ({ docker, onProgress, signal }: BaseOptions): Promise<void> => {
  const idle = idleSignal(pullIdleMs, AbortSignal.any([signal, AbortSignal.timeout(pullDeadlineMs)]))
  try {
    onProgress({ phase: 'base', text: `pulling ${published}` })
    const stream = await docker.pull(published, { abortSignal: idle.signal })
    await followEngine(stream, ({ status, progress }) => {
      idle.touch()
      onProgress({ phase: 'base', text: `pulling ${published}: ${status ?? ''} ${progress ?? ''}`.trimEnd() })
    })
  } finally {
    idle.end()
  }
}

const isDebianLike = async (): Promise<boolean> => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  return /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(release)
}

const installBootstrapper = async ({ onProgress, signal }: BaseOptions): Promise<void> => {
  if (await hasCommand('mmdebstrap', signal)) return
  const onLine = (line: string) => onProgress({ phase: 'base', text: `installing mmdebstrap: ${line}` })
  const apt = (...args: string[]) =>
    runCommand('env', ['DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args], { signal, onLine })
  const install = () => apt('install', '-y', '--no-install-recommends', 'mmdebstrap', 'debian-archive-keyring')
  try {
    await install()
  } catch {
    // A fresh machine has no package lists yet, and an old one's are out of date.
    await apt('update')
    await install()
  }
}

const bootstrapArguments = (architecture: EngineArchitecture, target: string): string[] => [
  ...['--variant=minbase', `--architectures=${architecture}`],
  // Recommended packages would bring perl.
  '--aptopt=APT::Install-Recommends "false"',
  // What Docker's own slim images leave out.
  ...['doc', 'man', 'info', 'locale', 'lintian'].map(name => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
  '--dpkgopt=path-include=/usr/share/doc/*/copyright',
  // Without sources named here the image gets Debian's own, updates and security among them.
  ...['--aptopt=Acquire::Retries "3"', 'bookworm', target],
]

const bootstrap = async (options: BaseOptions): Promise<string> => {
  const { docker, architecture, onProgress } = options
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(bootstrapDeadlineMs)])
  const directory = await mkdtemp(join(tmpdir(), 'porthole-base-'))
  const archive = join(directory, 'base.tar')
  try {
    await installBootstrapper({ ...options, signal })
    const onLine = (line: string) => onProgress({ phase: 'base', text: `bootstrapping Debian: ${line}` })
    await runCommand('mmdebstrap', bootstrapArguments(architecture, archive), { signal, onLine })
    onProgress({ phase: 'base', text: `importing ${bootstrapped}` })
    const [repo, tag] = bootstrapped.split(':')
    const stream = await docker.importImage(createReadStream(archive), { repo, tag, abortSignal: signal })
    await followEngine(stream, () => {})
    return bootstrapped
  } catch (error) {
    throw imageError('Building a Debian base image with mmdebstrap', error)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/**
 * The reference of a Debian base image on the engine: the published one, or where no registry is in reach one that is
 * bootstrapped from Debian's packages and kept.
 * @throws ImageError when there is no way to get one.
 */
export const ensureBase = async (options: BaseOptions): Promise<string> => {
  for (const reference of [published, bootstrapped]) {
    if ((await findImage(options, reference)) !== undefined) return reference
  }
  let reason: unknown
  try {
    await pull(options)
    return published
  } catch (error) {
    options.signal.throwIfAborted()
    reason = error
  }
  if (await isDebianLike()) return bootstrap(options)
  throw new ImageError(
    `${published} could not be pulled (${reason instanceof Error ? reason.message : String(reason)}), and a base image can be built only as root on Debian or Ubuntu.\n` +
      `Make ${published} available to the engine (docker pull or docker load), then try again.`,
    { cause: reason },
  )
}
