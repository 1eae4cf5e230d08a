import { PassThrough, type Readable } from 'node:stream'
import type Docker from 'dockerode'
import { eachOrNone } from '../dev/all-or-none.ts'
import { followEngine } from '../image/engine-stream.ts'
import { tee } from './tee.ts'

export type CopyImage = {
  from: Docker
  /** Such as `browser-use-browser-runtime:latest`; it is called the same afterwards. */
  image: string
  to: readonly Docker[]
  onProgress?: ((detail: string) => void) | undefined
  signal: AbortSignal
}

const copyDeadlineMs = 15 * 60_000

/**
 * Copies an image to the engines that do not have it, in one reading, and removes what these had of that name before.
 * Resolves to how many got it. @throws Error with an engine's own words
 */
export async function copyImage({ from, image, to, onProgress, signal }: CopyImage): Promise<number> {
  const original = await from.getImage(image).inspect()
  const has = await Promise.all(to.map(docker => hasImage(docker, image, original)))
  const lacking = to.filter((_, n) => !has[n])
  if (lacking.length === 0) return 0
  const ends = AbortSignal.any([signal, AbortSignal.timeout(copyDeadlineMs)])
  await eachOrNone(ends, ends => {
    const outlets = lacking.map(() => new PassThrough())
    const told = (bytes: number) => onProgress?.(progressOf(bytes, original.Size, lacking.length))
    return [
      from
        .getImage(image)
        .get()
        .then(source => pour(source as Readable, outlets, told, ends)),
      ...lacking.map((docker, n) => load(docker, outlets[n] as PassThrough, ends)),
    ]
  })
  await Promise.all(lacking.map(docker => removeFormer(docker, image, original.Id)))
  return lacking.length
}

/** The same by what it is made of: engines of different kinds call one image by different ids. */
async function hasImage(docker: Docker, image: string, original: Docker.ImageInspectInfo): Promise<boolean> {
  try {
    const { Id, Created, RootFS } = await docker.getImage(image).inspect()
    return (
      Id === original.Id || (Created === original.Created && String(RootFS.Layers) === String(original.RootFS.Layers))
    )
  } catch (error) {
    if (error instanceof Error && 'statusCode' in error && error.statusCode === 404) return false
    throw error
  }
}

async function pour(source: Readable, outlets: PassThrough[], onBytes: (n: number) => void, ends: AbortSignal) {
  const abort = () => {
    for (const stream of [source, ...outlets]) stream.destroy()
  }
  ends.addEventListener('abort', abort, { once: true })
  try {
    await tee(source, outlets, onBytes, ends)
  } finally {
    ends.removeEventListener('abort', abort)
  }
}

async function load(docker: Docker, archive: PassThrough, abortSignal: AbortSignal) {
  const answer = await docker.loadImage(archive, { quiet: true, abortSignal })
  await followEngine(answer, () => {})
}

const progressOf = (bytes: number, size: number, engines: number): string => {
  const to = `${engines} ${engines === 1 ? 'engine' : 'engines'}`
  // The archive is a little larger than what is in it, and unpacking goes on after its last byte.
  if (bytes >= size) return `unpacking the image in ${to}`
  const mb = (n: number) => Math.round(n / 1e6)
  return `copying the image to ${to}: ${mb(bytes)} of ${mb(size)} MB`
}

/** Each of them takes a gigabyte. One that a container is made of stays. */
async function removeFormer(docker: Docker, image: string, id: string) {
  const repository = image.replace(/:[^:/]*$/, '')
  const present = await docker.listImages({ filters: { reference: [repository] } })
  const current = await docker.getImage(image).inspect()
  const former = present.filter(({ Id }) => Id !== id && Id !== current.Id)
  const dangling = await docker.listImages({ filters: { dangling: ['true'] } })
  for (const { Id } of [...former, ...dangling])
    await docker
      .getImage(Id)
      .remove({ force: false })
      .catch(() => {})
}
