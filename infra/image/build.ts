import { join } from 'node:path'
import type Docker from 'dockerode'
import { ensureBase } from './base.ts'
import { packContext, readInputs } from './context.ts'
import { followEngine, idleSignal } from './engine-stream.ts'
import { ImageError, imageError } from './image-error.ts'
import { architectures, type EngineArchitecture, findNodeBinary } from './node-binary.ts'
import { type OnProgress, throttled } from './progress.ts'

export { ImageError } from './image-error.ts'
export type { OnProgress, Progress } from './progress.ts'

/** Repository of the image on the engine. */
export const imageRepository = 'browser-use-browser-runtime'
/** Label with the hash of everything the image was made of. */
export const sourceLabel = 'porthole.source'

const engineDeadlineMs = 15_000
const buildIdleMs = 5 * 60_000
const buildDeadlineMs = 40 * 60_000

export type EnsureImageOptions = {
  docker: Docker
  onProgress?: OnProgress | undefined
  signal?: AbortSignal | undefined
  /** Build even when the image is there, without the layer cache: this fetches Debian's newest chromium. */
  fresh?: boolean | undefined
  /** Network on which the build fetches packages, for an engine without a default bridge; `host` or a network's name. */
  network?: string | undefined
}

export type EnsuredImage = {
  /** Such as `browser-use-browser-runtime:0123456789ab`; `:latest` points to the same image. */
  tag: string
  id: string
  /** Whether it was built now. */
  built: boolean
}

type Context = { docker: Docker; onProgress: OnProgress; signal: AbortSignal }

const engineArchitecture = async ({ docker, signal }: Context): Promise<EngineArchitecture> => {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(engineDeadlineMs)])
  const { Os, Arch } = await abortable(docker.version(), limit)
  if (Os === 'linux' && Object.hasOwn(architectures, Arch)) return Arch as EngineArchitecture
  throw new ImageError(`The browser image runs on linux/amd64 and linux/arm64; this engine is ${Os}/${Arch}.`)
}

/** `work`, or a rejection once `signal` is aborted: some of dockerode's calls take no signal. */
const abortable = async <T>(work: Promise<T>, signal: AbortSignal): Promise<T> => {
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', abort)
    work.catch(() => {})
    promise.catch(() => {})
  }
}

/** Id of the image of that tag, when it was made of exactly these inputs. */
const findBuilt = async ({ docker, signal }: Context, tag: string, hash: string): Promise<string | undefined> => {
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(engineDeadlineMs)])
    const { Id, Config } = await abortable(docker.getImage(tag).inspect(), limit)
    return Config.Labels?.[sourceLabel] === hash ? Id : undefined
  } catch (error) {
    if (error instanceof Error && 'statusCode' in error && error.statusCode === 404) return undefined
    throw error
  }
}

const build = async (
  { docker, onProgress, signal }: Context,
  options: {
    tar: NodeJS.ReadableStream
    tag: string
    base: string
    hash: string
    fresh: boolean
    network: string | undefined
  },
): Promise<void> => {
  const idle = idleSignal(buildIdleMs, AbortSignal.any([signal, AbortSignal.timeout(buildDeadlineMs)]))
  let position: { step?: number; steps?: number } = {}
  try {
    const stream = await docker.buildImage(options.tar, {
      t: options.tag,
      buildargs: { BASE: options.base },
      labels: { [sourceLabel]: options.hash },
      ...(options.fresh ? { nocache: true } : {}),
      ...(options.network === undefined ? {} : { networkmode: options.network }),
      rm: true,
      forcerm: true,
      abortSignal: idle.signal,
    })
    await followEngine(stream, line => {
      idle.touch()
      const text = (line.stream ?? `${line.status ?? ''} ${line.progress ?? ''}`).trim()
      if (text === '') return
      const [, step, steps] = /^Step (\d+)\/(\d+)/.exec(text) ?? []
      if (step !== undefined && steps !== undefined) position = { step: Number(step), steps: Number(steps) }
      onProgress({ phase: 'build', ...position, text: text.split('\n', 1)[0] ?? '' })
    })
  } finally {
    idle.end()
  }
}

/**
 * Makes sure that the engine has the browser image of this checkout, tagged by its inputs' hash and as `latest`. Builds
 * only when it is not there. Works with the classic builder of Docker 20.10 and with newer engines.
 * @throws ImageError saying what failed and what to do; the signal's reason when it was aborted.
 */
export const ensureImage = async (options: EnsureImageOptions): Promise<EnsuredImage> => {
  const signal = options.signal ?? new AbortController().signal
  const context = { docker: options.docker, onProgress: throttled(options.onProgress), signal }
  try {
    const inputs = await readInputs(await engineArchitecture(context))
    const version = inputs.hash.slice(0, 12)
    const tag = `${imageRepository}:${version}`
    const fresh = options.fresh ?? false
    const found = fresh ? undefined : await findBuilt(context, tag, inputs.hash)
    if (found === undefined) {
      const cacheDir = join(import.meta.dirname, '..', '..', '.porthole', 'cache')
      const [base, node] = await Promise.all([
        ensureBase({ ...context, architecture: inputs.architecture }),
        findNodeBinary(inputs.architecture, { cacheDir, ...context }),
      ])
      const tar = packContext(inputs, node)
      await build(context, { tar, tag, base, hash: inputs.hash, fresh, network: options.network })
    }
    const id = found ?? (await findBuilt(context, tag, inputs.hash))
    if (id === undefined) throw new ImageError(`The build ended, but the engine has no image ${tag}. Try again.`)
    const limit = AbortSignal.any([signal, AbortSignal.timeout(engineDeadlineMs)])
    await abortable(options.docker.getImage(tag).tag({ repo: imageRepository, tag: 'latest' }), limit)
    return { tag, id, built: found === undefined }
  } catch (error) {
    signal.throwIfAborted()
    throw imageError('Making the browser image', error)
  }
}
