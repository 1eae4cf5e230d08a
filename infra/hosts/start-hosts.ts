import { mkdirSync } from 'node:fs'
import type Docker from 'dockerode'
import { eachOrNone } from '../dev/all-or-none.ts'
import type { Step } from '../dev/process-identity.ts'
import { readEngineConfig } from '../docker/config.ts'
import { findProgram } from '../docker/install.ts'
import { diskPrograms, ensureHostsPossible, findHostPrograms } from './ability.ts'
import { type Bridge, makeBridge } from './bridge.ts'
import { clearHosts } from './clear.ts'
import { copyImage } from './copy-image.ts'
import { type Host, makeHost } from './host.ts'
import { namingOf } from './naming.ts'

export type { Host } from './host.ts'

export type HostsOptions = {
  count: number
  /** Where the engines keep their data between runs; of one set of hosts at a time. */
  dir: string
  /** Hosts are called by it: name-1, name-2, … */
  name: string
  /** The image that each is to have, and the engine that has it; absent: none. */
  image?: { docker: Docker; tag: string }
  /** Each engine stores on a disk of its own of that size, apart from what it stores without; absent: on the machine's. */
  diskBytes?: number
  onProgress?: (detail: string) => void
  signal?: AbortSignal
}

export type Hosts = {
  hosts: Host[]
  /** Where the hosts reach this machine. */
  bridgeAddress: string
  /** Ends and removes all of it but what the engines have stored. @param steps how engines are ended */
  close(steps?: readonly Step[]): Promise<void>
}

/**
 * Makes hosts out of this machine: each has its own Docker engine in its own network namespace with its own address, and
 * all are plugged into one bridge. Removes what a killed run in this folder has left. As root on Linux.
 * @throws Explained when this machine has not what it takes; whatever failed, with everything removed again
 */
export async function startHosts(options: HostsOptions): Promise<Hosts> {
  const { count, dir, image, diskBytes, onProgress } = options
  const signal = options.signal ?? new AbortController().signal
  ensureHostsPossible()
  const { path } = readEngineConfig()
  const program = await findHostPrograms(path, onProgress, signal, diskBytes ? diskPrograms : {})
  mkdirSync(dir, { recursive: true })
  if (await clearHosts(dir)) onProgress?.('removed what an earlier run had left')
  const naming = namingOf(dir)
  mkdirSync(naming.runDir, { recursive: true, mode: 0o700 })
  let bridge: Bridge | undefined
  const close = async (steps?: readonly Step[]) => {
    await clearHosts(dir, steps)
    await bridge?.restoreForwarding()
  }
  try {
    const made = await makeBridge(naming, signal)
    bridge = made
    onProgress?.(`starting ${count} engines`)
    const ip = findProgram('ip', path) ?? 'ip'
    const hosts = await eachOrNone(signal, ends =>
      numbered(count).map(host =>
        makeHost({
          naming,
          host,
          name: `${options.name}-${host}`,
          bridge: made,
          diskBytes,
          program,
          path,
          ip,
          signal: ends,
        }),
      ),
    )
    if (image) {
      const to = hosts.map(({ docker }) => docker)
      await copyImage({ from: image.docker, image: image.tag, to, onProgress, signal })
    }
    return { hosts, bridgeAddress: made.address, close }
  } catch (error) {
    // What can't be removed now is removed by the next start; why this one failed is what counts.
    await close().catch(() => {})
    throw error
  }
}

const numbered = (count: number) => Array.from({ length: count }, (_, n) => n + 1)
