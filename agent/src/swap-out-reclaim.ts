import { execFile } from 'node:child_process'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type MemoryGroup, reclaimFile, residentBytes } from './swap-out-group.ts'

/** One write to a file of the kernel's, which may last. */
export type Write = (path: string, text: string) => Promise<void>

/**
 * Has the kernel write the memory of a frozen container to swap, as much as it can.
 * @param signal ends it within tens of milliseconds; what has been written stays there
 * @throws the signal's reason, or why the kernel refused
 */
export const reclaim = (group: MemoryGroup, signal: AbortSignal, write: Write = writeText): Promise<void> =>
  group.version === 1 ? emptyAtOnce(group, signal) : emptyInSteps(group, signal, write)

/** What starts the agent may have a short path. */
const path = '/usr/local/bin:/usr/bin:/bin'

/**
 * cgroup v1 knows only all at once (memory.force_empty, Linux' Documentation/admin-guide/cgroup-v1/memory.rst), in one write that
 * lasts and that only a signal ends: so another process makes it. It dies with this one, or it would go on with a container that the
 * next agent lets run (setpriv(1), PR_SET_PDEATHSIG).
 */
const emptyAtOnce = async (group: MemoryGroup, signal: AbortSignal): Promise<void> => {
  signal.throwIfAborted()
  const file = join(group.directory, reclaimFile(group))
  const writing = promisify(execFile)('setpriv', ['--pdeathsig', 'KILL', 'tee', file], {
    env: { PATH: path, LC_ALL: 'C' },
    signal,
    killSignal: 'SIGKILL',
  })
  writing.child.stdin?.on('error', () => undefined).end('0')
  try {
    await writing
  } catch (cause) {
    signal.throwIfAborted()
    const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim().slice(-500) : ''
    throw new Error(`the kernel did not take the write to ${file}: ${said}`, { cause })
  }
}

/** Bytes in one step: a tenth of a second on a slow disk, which is what a resume may have to share it for. */
export const stepBytes = 2 ** 24

/**
 * cgroup v2 takes a number of bytes (memory.reclaim, Documentation/admin-guide/cgroup-v2.rst), and answers EAGAIN when it could
 * not find as many.
 */
const emptyInSteps = async (group: MemoryGroup, signal: AbortSignal, write: Write): Promise<void> => {
  const close = await allowSwap(group, write)
  try {
    const file = join(group.directory, reclaimFile(group))
    for (let left = await residentBytes(group); left > 0; left -= stepBytes) {
      signal.throwIfAborted()
      await write(file, String(Math.min(left, stepBytes)))
    }
  } catch (error) {
    if (!isCode(error, 'EAGAIN')) throw error
  } finally {
    await close()
  }
}

/**
 * Containers are made without swap, which in v2 is memory.swap.max = 0 and holds for reclaim, too. It is lifted for as long as
 * this container is being written, up to what it has now, and set back to nothing: what is in swap already stays there, and a
 * running one gets no more. An agent that is killed in between leaves it lifted until the next time, by no more than that.
 * @returns what sets it back
 */
const allowSwap = async ({ directory, ...group }: MemoryGroup, write: Write): Promise<() => Promise<void>> => {
  const file = join(directory, 'memory.swap.max')
  try {
    const swapped = Number(await readFile(join(directory, 'memory.swap.current'), 'utf8'))
    await write(file, String(swapped + (await residentBytes({ directory, ...group }))))
  } catch (error) {
    // A kernel that does not count swap limits none.
    if (isCode(error, 'ENOENT')) return async () => undefined
    throw error
  }
  return async () => {
    try {
      await write(file, '0')
    } catch (error) {
      // The container has gone meanwhile.
      if (!isGone(error)) throw error
    }
  }
}

/** Makes no file that is not there. */
const writeText: Write = async (path, text) => {
  const file = await open(path, 'r+')
  try {
    await file.write(text)
  } finally {
    await file.close()
  }
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code

/** Whether a cgroup went away before or while it was written to. */
export const isGone = (error: unknown): boolean => isCode(error, 'ENOENT') || isCode(error, 'ENODEV')
