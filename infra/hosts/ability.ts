import { Explained } from '../dev/explained.ts'
import { aptInstall, findProgram, isDebian } from '../docker/install.ts'

/** The programs that making hosts takes, and the Debian packages they are in. */
const programs = {
  ip: 'iproute2',
  ss: 'iproute2',
  nsenter: 'util-linux',
  umount: 'mount',
  iptables: 'iptables',
  dockerd: 'docker.io',
} as const

/** What giving each host a disk of its own takes besides. */
export const diskPrograms = { mount: 'mount', 'mkfs.ext4': 'e2fsprogs', fallocate: 'util-linux' } as const

/** @throws Explained where several hosts on one machine cannot be */
export function ensureHostsPossible(platform = process.platform, isRoot = process.getuid?.() === 0): void {
  if (platform === 'linux' && isRoot) return
  throw new Explained(
    `Several hosts on one machine need Linux and root: each has a network namespace and a Docker engine of its own. Run it ${
      platform === 'linux' ? 'as root' : 'as root on Linux'
    }, or without --hosts for one host.`,
  )
}

/**
 * Where dockerd is, with all else that hosts need in place; on Debian and Ubuntu it is installed.
 * @param more further programs, and the Debian packages they are in
 * @throws Explained what is missing
 */
export async function findHostPrograms(
  path: string,
  onProgress?: (detail: string) => void,
  signal?: AbortSignal,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const missing = () => Object.entries({ ...programs, ...more }).filter(([name]) => !findProgram(name, path))
  const packages = [...new Set(missing().map(([, name]) => name))]
  if (packages.length > 0 && isDebian())
    await aptInstall(packages, { path, ...(onProgress && { onProgress }), ...(signal && { signal }) })
  const left = missing().map(([name]) => name)
  const dockerd = findProgram('dockerd', path)
  if (left.length === 0 && dockerd) return dockerd
  throw new Explained(
    `Several hosts on one machine need ${left.join(', ')}. Install what is missing and run this again.`,
  )
}
