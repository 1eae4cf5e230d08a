import { system } from './system.ts'

/**
 * Resets every TCP connection that stands between this machine and an address: both ends get an error at once
 * (sock_diag(7), SOCK_DESTROY).
 * @throws Error when some still stand: the kernel can't (CONFIG_INET_DIAG_DESTROY), and `ss` does not say so
 */
export async function resetConnections(address: string): Promise<void> {
  const standing = async () =>
    (await system('ss', ['-Htn', 'state', 'established', 'dst', address])).split('\n').filter(Boolean)
  const before = new Set((await standing()).map(endsOf))
  await system('ss', ['-KHtn', 'dst', address])
  const left = (await standing()).map(endsOf).filter(ends => before.has(ends))
  if (left.length > 0)
    throw new Error(
      `${left.length} connections with ${address} could not be reset: is the kernel's INET_DIAG_DESTROY on?`,
    )
}

/** The two addresses of a line of `ss -Htn state …`: what stands before them are queue lengths. */
const endsOf = (line: string): string => line.trim().split(/\s+/).slice(2, 4).join(' ')
