import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import type { KernelFolders } from './swap-out-group.ts'

export const containerId = 'ad3a77cbec5a10b2c5474e1f568c3b11db23164e5e15a945933ad326f9616f62'
export const pid = 4242

const swapsHead = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n'
export const swaps = { none: swapsHead, some: `${swapsHead}/swapfile file\t\t1048572\t\t0\t\t-2\n` }

/** The kernel as folders of plain files: nothing happens there, and what was written can be read. */
export type FakeKernel = {
  folders: KernelFolders
  /** Paths as `proc/swaps`. */
  read(path: string): Promise<string>
  write(path: string, text: string): Promise<void>
}

/** Gone with the test. */
export const fakeKernel = async (t: TestContext, files: Readonly<Record<string, string>>): Promise<FakeKernel> => {
  const root = await mkdtemp(join(tmpdir(), 'porthole-kernel-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  for (const [path, text] of Object.entries(files)) await write(path, text)
  return {
    folders: { proc: join(root, 'proc'), cgroup: join(root, 'cgroup') },
    read: path => readFile(join(root, path), 'utf8'),
    write,
  }
}

/** A container's files in cgroup v1, with the engine's own driver. */
export const filesOfV1 = (id: string, resident: number, of = pid): Record<string, string> => ({
  'proc/swaps': swaps.some,
  [`proc/${of}/cgroup`]: `5:devices:/docker/${id}\n4:memory:/docker/${id}\n0::/docker/${id}\n`,
  [`cgroup/memory/docker/${id}/memory.force_empty`]: '',
  [`cgroup/memory/docker/${id}/memory.usage_in_bytes`]: `${resident}\n`,
})

/** The same in cgroup v2, with systemd's driver. */
export const filesOfV2 = (id: string, resident: number): Record<string, string> => ({
  'proc/swaps': swaps.some,
  [`proc/${pid}/cgroup`]: `0::/system.slice/docker-${id}.scope\n`,
  [`cgroup/system.slice/docker-${id}.scope/memory.reclaim`]: '',
  [`cgroup/system.slice/docker-${id}.scope/memory.current`]: `${resident}\n`,
  [`cgroup/system.slice/docker-${id}.scope/memory.swap.max`]: '0\n',
  [`cgroup/system.slice/docker-${id}.scope/memory.swap.current`]: '0\n',
})
