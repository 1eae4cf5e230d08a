import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { VolumeDigest } from '@porthole/protocol'
import tar from 'tar-stream'

/** Files of one volume; a browser profile has some thousands. */
const maxFiles = 2_000_000

/**
 * What a tar holds, whatever the order of its entries: kind, mode, owner, target and content of every name. Times are
 * left out: unpacking may round them.
 *
 * @throws for what is no whole tar
 */
export const digestOf = async (archive: Readable): Promise<VolumeDigest> => {
  const lines: string[] = []
  let bytes = 0
  await eachEntry(archive, async ({ name, type, mode, uid, gid, linkname }, content) => {
    const hash = createHash('sha256')
    for await (const chunk of content) {
      hash.update(chunk)
      bytes += chunk.length
    }
    if (lines.length >= maxFiles) throw new Error(`the volume has more than ${maxFiles} files`)
    const plainName = name.replace(/^\.\/?/, '').replace(/\/$/, '')
    lines.push(JSON.stringify([plainName, type, (mode ?? 0) & 0o7777, uid, gid, linkname ?? '', hash.digest('base64')]))
  })
  const digest = createHash('sha256')
  for (const line of lines.sort()) digest.update(`${line}\n`)
  return { digest: digest.digest('base64url'), files: lines.length, bytes }
}

/**
 * Calls `take` with every entry of a tar, one after the other; it reads the content to its end.
 *
 * @throws what `take` throws, and for an archive that breaks off
 */
export const eachEntry = (
  archive: Readable,
  take: (header: tar.Header, content: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> => {
  const extract = tar.extract()
  const done = Promise.withResolvers<void>()
  extract.on('entry', (header, content, next) => {
    take(header, content as AsyncIterable<Buffer>).then(() => next(), done.reject)
  })
  extract.on('finish', done.resolve)
  extract.on('error', done.reject)
  // One that is cut has no end, and may have no error either.
  archive.once('error', done.reject)
  archive.once('close', () => archive.readableEnded || done.reject(new Error('the archive broke off')))
  archive.pipe(extract)
  return done.promise.finally(() => {
    archive.destroy()
    extract.destroy()
  })
}
