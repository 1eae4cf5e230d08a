import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { z } from 'zod'

const files = {
  daemon: '/etc/docker/daemon.json',
  resolver: '/etc/resolv.conf',
  /** What systemd-resolved itself asks; read instead of a resolv.conf that names only its stub on the loopback. */
  systemd: '/run/systemd/resolve/resolv.conf',
} as const

const daemonSettings = z.object({ dns: z.array(z.string()).optional() })

/**
 * The name servers that the engine asks for its containers, found as Docker finds them: its own setting, or else the
 * machine's. It asks them from the containers' addresses, so that a private one must be let through. Those on the
 * loopback are asked from the host itself and need nothing.
 * @param read gives a file's text, or undefined when it can't be read
 */
export const readNameservers = async (
  read: (path: string) => Promise<string | undefined> = readText,
): Promise<string[]> => {
  const set = dnsSetting(await read(files.daemon))
  if (set.length > 0) return set
  const ofHost = parseResolver(await read(files.resolver))
  const found = ofHost.length > 0 ? ofHost : parseResolver(await read(files.systemd))
  return found.sort()
}

const dnsSetting = (text: string | undefined): string[] => {
  try {
    return (daemonSettings.parse(JSON.parse(text ?? '{}')).dns ?? []).filter(isOutside)
  } catch {
    // Not Docker's to be read then, either.
    return []
  }
}

const parseResolver = (text = ''): string[] =>
  text.split('\n').flatMap(line => {
    const address = /^\s*nameserver\s+(\S+)/.exec(line)?.[1]
    return address !== undefined && isOutside(address) ? [address] : []
  })

const isOutside = (address: string): boolean =>
  isIP(address) !== 0 && !address.includes('%') && !address.startsWith('127.') && address !== '::1'

const readText = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8')
  } catch {
    return undefined
  }
}
