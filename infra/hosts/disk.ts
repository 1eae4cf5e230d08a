import { existsSync } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, statfs, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { system } from './system.ts'

/** A file system of a host's own, which can be filled up without harm to the machine. */
export type Disk = {
  /** Where it is mounted. */
  folder: string
  /** Fills it to its last block: whoever writes there is told ENOSPC. */
  fill(): Promise<void>
  /** Takes away what filled it; fine when nothing does. */
  empty(): Promise<void>
}

const mib = 2 ** 20
const block = 4096

/**
 * Mounts the disk of a host, made where there is none yet; what is on it stays between runs. It lies in a file that takes
 * no more room than is used of it. Unmounted with everything else under `folder`, by `clearHosts`.
 * @param bytes its size, when it is made
 */
export async function mountDisk(folder: string, bytes: number, signal?: AbortSignal): Promise<Disk> {
  const [file, place] = [join(folder, 'disk.img'), join(folder, 'disk')]
  await mkdir(place, { recursive: true, mode: 0o700 })
  if (!existsSync(file)) await makeDisk(file, bytes, signal)
  await system('mount', ['-o', 'loop', file, place], { signal })
  const ballast = join(place, 'ballast')
  const empty = () => rm(ballast, { force: true })
  // A run that was killed may have left it full.
  await empty()
  return { folder: place, fill: () => fill(ballast), empty }
}

/** Under another name until it is done. No blocks are set aside for root: root is who fills it. */
async function makeDisk(file: string, bytes: number, signal?: AbortSignal) {
  const draft = `${file}.new`
  await (await open(draft, 'w', 0o600)).close()
  await truncate(draft, bytes)
  await system('mkfs.ext4', ['-q', '-F', '-m', '0', draft], { signal, withinMs: 60_000 })
  await rename(draft, file)
}

/** Nearly all of it is set aside at once, which writes nothing; the rest is written, in ever smaller pieces. */
async function fill(ballast: string) {
  await (await open(ballast, 'a', 0o600)).close()
  const { bavail, bsize } = await statfs(ballast)
  const most = bavail * bsize - 16 * mib
  if (most > 0) await system('fallocate', ['--offset', '0', '--length', String(most), ballast])
  const file = await open(ballast, 'a')
  try {
    for (const size of [mib, block]) await writeUntilFull(file, Buffer.alloc(size))
    await file.sync().catch(ignoreFull)
  } finally {
    await file.close().catch(ignoreFull)
  }
}

async function writeUntilFull(file: FileHandle, piece: Buffer) {
  // Bounded by what `fill` has left, with room for what others give up meanwhile.
  for (let n = 0; n < 1_000_000; n += 1) {
    try {
      await file.write(piece)
    } catch (error) {
      return ignoreFull(error)
    }
  }
}

function ignoreFull(error: unknown) {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
}
